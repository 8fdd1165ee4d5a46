"""When things are made: all before anything is measured, and meanwhile on every core."""

import os
import threading
from datetime import UTC, datetime

import pytest
from projects import BENCH, Project, private_environment

from harness import preparation
from harness.cache import Cache, default_root
from harness.errors import PocketbenchError
from harness.platforms import HOST, Platform
from harness.preparation import Wanted, make_all_ready
from harness.spec import Case, Model, TensorSpec

PATIENCE_S = 60.0

BOARD = Platform(arch="aarch64")


def case(threads):
    return Case(model="net", runtime="ncnn", runtime_version="1", precision="fp32", threads=threads)


@pytest.mark.parametrize("platform", [HOST, BOARD], ids=["this machine", "a board"])
def test_as_many_cases_are_made_at_once_as_there_are_cores(monkeypatch, platform, tmp_path):
    cores = os.cpu_count() or 1
    # Nobody passes before as many have come.
    meeting = threading.Barrier(cores)

    def come(*_):
        meeting.wait(PATIENCE_S)
        raise PocketbenchError("met")

    monkeypatch.setattr(preparation, "make_ready", come)
    model = Model(name="net", feed="stand_in", inputs=(TensorSpec(name="x", shape=(1,)),))
    wanted = [Wanted(case=case(number), platform=platform) for number in range(1, 2 * cores + 1)]
    made = make_all_ready(Cache(tmp_path), {"net": model}, tmp_path, wanted, report=lambda *_: None)
    assert {str(outcome) for outcome in made.values()} == {"met"}
    assert len(made) == 2 * cores


KINDS = ("models", "feeds", "references", "artifacts")
"""Of what a cache holds, what is made for a model."""


def test_nothing_is_made_any_more_when_the_first_of_two_workers_measures_this_machine(tmp_path):
    own = tmp_path / "cache"
    own.mkdir()
    for kept in default_root().iterdir():
        if kept.is_dir() and kept.name not in KINDS:
            (own / kept.name).symlink_to(kept)
    project = Project(tmp_path, {**private_environment(tmp_path), "POCKETBENCH_CACHE": str(own)})
    (tmp_path / "twin.toml").write_text(BENCH.format(tmp_path / "twin"))
    asked = ("--model", "ppocr_cls", "--runtime", "onnxruntime,mnn", "--precision", "fp32,w8")
    session = project.pytest(
        *asked, "--effort", "quick", "--device", "twin", "-n", "2", "-k", "memory", device="bench"
    )
    assert session.exit_code == 0, session.printed
    made = [path for kind in KINDS for path in (own / kind).glob("*/*")]
    assert {path.parent.parent.name for path in made} == set(KINDS)
    assert len(list((own / "artifacts").glob("*/artifact.json"))) == 4, "each once, for both workers"
    last = max(datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in made)
    first = min(datetime.fromisoformat(one.started_at) for one in session.measurements)
    assert last < first
    assert {one.device for one in session.measurements} == {"bench", "twin"}
