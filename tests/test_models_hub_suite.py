"""From a hub to figures: weights are fetched, exported, converted for every runtime and measured."""

from uuid import uuid4

import pytest
from projects import Project, private_environment

pytest_plugins = ["peers.hub_fixtures", "peers.tiny_model_fixtures"]

ONE_FILE = """
[models.net]
source = "hf:org/net@{commit}:net.onnx"
feed = "stand_in"
inputs = [{{ name = "x", shape = [1, 3, 8, 8] }}]
"""
RUNTIMES = {"onnxruntime", "mnn", "ncnn", "paddlelite"}
ZOO = """
[models.tiny_bert]
source = "hf:somebody/tiny-bert@{commit}"
feed = "tokens"
inputs = [{{ name = "input_ids", shape = [1, 16], dtype = "int64" }}]
constants = {{ attention_mask = 1, token_type_ids = 0 }}
"""


@pytest.fixture
def project(tmp_path, hub, tiny_folders):
    """A project whose one model lies on the hub, in a commit that was never fetched."""
    folder = tiny_folders / "bert"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    commit = hub.add("somebody/tiny-bert", {**files, "README.md": str(tmp_path).encode()})
    project = Project(tmp_path, private_environment(tmp_path))
    (tmp_path / "suites" / "expectations.toml").write_text("")
    project.zoo.write_text(ZOO.format(commit=commit))
    return project


def test_a_model_of_a_hub_is_fetched_exported_converted_and_measured_and_then_needs_no_hub(project, hub):
    quick = ("--precision", "fp32", "--effort", "quick")
    session = project.pytest(*quick)
    assert (session.exit_code, session.outcomes) == (0, {"passed": 12}), session.printed
    assert {one.case.runtime for one in session.measurements} == RUNTIMES
    assert all(one.status == "measured" and one.parity.ok for one in session.measurements)
    assert hub.bytes_sent("model.safetensors") > 90_000
    assert "model.onnx" not in " ".join(hub.asked)

    asked = len(hub.asked)
    again = project.pytest("--runtime", "onnxruntime,ncnn", *quick, HF_HUB_OFFLINE="1")
    assert (again.exit_code, again.outcomes) == (0, {"passed": 6}), again.printed
    assert "0 things built anew" in again.printed
    assert len(hub.asked) == asked


@pytest.mark.parametrize(("quietly", "shown"), [((), True), (("-q",), False)], ids=["usually", "quietly"])
def test_a_terminal_shows_what_is_downloaded_while_it_prepares(tmp_path, hub, quietly, shown):
    project = Project(tmp_path, private_environment(tmp_path))
    (tmp_path / "suites" / "expectations.toml").write_text("")
    commit = hub.add("org/net", {"net.onnx": b"no network, never seen: " + uuid4().bytes})
    project.zoo.write_text(ONE_FILE.format(commit=commit))

    session = project.pytest("--runtime", "onnxruntime", "--precision", "fp32", "--color=yes", *quietly)

    assert session.exit_code == 1, session.printed
    assert ("preparing: downloading org/net, 0.0 of 0.0 MiB" in session.printed) == shown, session.printed
