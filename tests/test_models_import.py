"""A folder of networks that are converted already becomes a zoo, and that zoo is measured."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from projects import Project, private_environment

from harness.errors import PocketbenchError
from harness.matrix import Filters, build_cases
from harness.models.collection import scan
from harness.models.zoo import load_zoo
from harness.spec import TensorSpec

pytest_plugins = ["peers.collection"]

MEASURED = ("ppocr_cls_48x192", "lonely", "phone")
ENGINES = ("onnxruntime", "mnn", "ncnn", "paddlelite")


def pocketbench(*arguments, cwd):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)


def names(root, *files):
    """What is found of a folder with these files, which are empty."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    networks, left_out = scan(root)
    found = {one.name: {(a.runtime, a.precision) for a in one.artifacts} for one in networks}
    return found, {one.path: one.reason for one in left_out}


@pytest.fixture(scope="module")
def imported(collection, tmp_path_factory):
    """What the command said, and the zoo that it wrote elsewhere."""
    zoo = tmp_path_factory.mktemp("zoo") / "hub.toml"
    done = pocketbench("models", "import", collection, "--out", zoo, cwd=zoo.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout, zoo


@pytest.fixture(scope="module")
def measured(imported, tmp_path_factory):
    """The collection, measured once the open sizes are filled in."""
    _, zoo = imported
    folder = tmp_path_factory.mktemp("measured")
    project = Project(folder, private_environment(folder))
    filled = re.sub(r"\[1, [03], 0, 0\]", "[1, 3, 48, 192]", zoo.read_text())
    beside = zoo.with_name("filled.toml")
    beside.write_text(filled)
    wanted = ("--zoo", beside, "--model", ",".join(MEASURED), "--effort", "quick", "-rs")
    return project.pytest(*wanted)


def test_names_that_differ_by_engine_optimiser_and_precision_are_one_network(tmp_path):
    files = (
        "ONNXRuntime/face/ultraface-rfb-320.onnx",
        "MNN/face/ultraface-rfb-320.mnn",
        "MNN/face/Ultraface_RFB_320_fp16.mnn",
        "ncnn/face/ultraface_rfb_320.opt.param",
        "ncnn/face/ultraface_rfb_320.opt.bin",
        "PaddleLite/ultraface-rfb-320-sim-int8.nb",
    )

    found, left_out = names(tmp_path, *files)

    assert found == {
        "ultraface_rfb_320": {
            *(("onnxruntime", "fp32"), ("mnn", "fp32"), ("mnn", "fp16")),
            *(("ncnn", "fp32"), ("paddlelite", "int8")),
        }
    }
    assert left_out == {}


def test_other_shapes_are_other_networks(tmp_path):
    found, _ = names(tmp_path, "yolox_tiny-416x416.onnx", "yolox-tiny-640x640.mnn")

    assert found.keys() == {"yolox_tiny_416x416", "yolox_tiny_640x640"}


def test_one_name_in_several_folders_of_an_engine_is_told_apart_by_the_folder(tmp_path):
    found, _ = names(tmp_path, "MNN/a/model.mnn", "MNN/b/model.mnn", "ONNXRuntime/a/model.onnx")

    assert found == {"a_model": {("mnn", "fp32"), ("onnxruntime", "fp32")}, "b_model": {("mnn", "fp32")}}


def test_of_two_files_for_one_engine_and_precision_one_is_taken(tmp_path):
    found, left_out = names(tmp_path, "net.onnx", "net-sim.onnx")

    assert found == {"net": {("onnxruntime", "fp32")}}
    assert left_out == {"net-sim.onnx": "the same network, runtime and precision (fp32) as net.onnx"}


def test_a_name_that_is_nothing_but_manners_stays_a_name(tmp_path):
    found, _ = names(tmp_path, "opt.onnx")

    assert found == {"opt": {("onnxruntime", "fp32")}}


def test_names_in_other_letters_still_match(tmp_path):
    found, _ = names(tmp_path, "MNN/\u6a21\u578b.mnn", "ONNXRuntime/\u6a21\u578b.onnx", "MNN/\u7f51.mnn")

    assert sorted(map(len, found.values())) == [1, 2]


def test_hidden_folders_are_not_looked_into(tmp_path):
    found, left_out = names(tmp_path, ".git/lfs/net.onnx", "net.mnn", ".cache/x.pb")

    assert found == {"net": {("mnn", "fp32")}}
    assert left_out == {}


@pytest.mark.parametrize("file", ["net.param", "net.pb", "README.md"])
def test_a_folder_with_nothing_to_measure_is_an_error(tmp_path, file):
    with pytest.raises(PocketbenchError, match=r"holds no network that can be measured \(\.onnx, \.mnn"):
        names(tmp_path, file)


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(PocketbenchError, match=r"there is no folder .*nowhere"):
        scan(tmp_path / "nowhere")


def test_the_import_shows_every_network_with_its_engines(imported):
    said, _ = imported
    row = next(line for line in said.splitlines() if line.startswith("ppocr_cls_48x192"))

    assert row.split() == ["ppocr_cls_48x192", "x", "1x3x48x192", "fp32", "fp32", "fp16", "fp32", "fp32"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("TNN/ppocr/ppocr-cls.opt.tnnproto", "TNN's format: no runtime here reads it"),
        ("TensorFlow/frozen.pb", "TensorFlow's format: .* name it in a model's originals"),
        ("ncnn/alone/weights.bin", "weights whose network, weights.param, is not beside them"),
        ("ncnn/alone/structure.param", "its weights, structure.bin, are not beside it"),
        ("MNN/bad/pointer.mnn", "git-lfs pointer.*git lfs pull"),
        ("MNN/bad/cut.mnn", "not a readable MNN model"),
        ("ONNXRuntime/bad/page.onnx", "not a readable ONNX model"),
        ("PaddleLite/bad.nb", "not an .nb file"),
    ],
)
def test_the_import_lists_what_it_left_out_and_why(imported, path, reason):
    said, _ = imported
    assert re.search(f"{re.escape(path)}: .*{reason}", said), said


def test_files_that_are_no_models_are_not_mentioned(imported):
    assert "README" not in imported[0]


def test_a_model_of_the_written_zoo_is_refused_until_its_open_sizes_are_filled_in(imported):
    said, zoo = imported

    assert "sizes to fill in first, marked in the file: phone, ppocr_cls" in said
    loaded = load_zoo(zoo)
    for name in ("phone", "ppocr_cls"):
        with pytest.raises(
            PocketbenchError, match=f"model {name}: .* 0 stands for a size that its file leaves open: write"
        ):
            build_cases(loaded, Filters(models=(name,)))
    others = loaded.keys() - {"phone", "ppocr_cls"}
    assert build_cases(loaded, Filters(models=tuple(others))), "the rest can be measured"


def test_the_written_zoo_names_the_same_files_from_where_it_lies(imported, collection, measured):
    del measured
    model = load_zoo(imported[1].with_name("filled.toml"))["ppocr_cls_48x192"]

    assert model.inputs == (TensorSpec(name="x", shape=(1, 3, 48, 192)),)
    assert model.feed == "stand_in"
    sources = [pinned.source for one in model.artifacts for pinned in one.files.values()]
    paths = [Path(imported[1].parent, source.removeprefix("file:")).resolve() for source in sources]
    assert all(path.is_file() and path.is_relative_to(collection) for path in paths)
    assert all(pinned.sha256 for one in model.artifacts for pinned in one.files.values())


def test_the_collection_is_measured_and_every_engine_computes_the_same(measured):
    cells = {
        (m.case.runtime, m.case.precision): m
        for m in measured.measurements
        if m.case.model == "ppocr_cls_48x192"
    }

    assert measured.exit_code == 0, measured.printed
    assert cells.keys() == {*((engine, "fp32") for engine in ENGINES), ("mnn", "fp16")}
    for one in cells.values():
        assert one.status == "measured"
        assert one.parity.ok
        assert re.fullmatch(r"onnxruntime@[\d.]+ fp32, supplied", one.parity.reference)


def test_the_record_says_which_files_were_supplied(measured, collection):
    (one,) = [m for m in measured.measurements if m.case.runtime == "ncnn"]

    assert one.artifact.converter == "supplied"
    assert one.artifact.options["sources"]["param"].endswith("PPOCR_cls-48x192.opt.param")
    assert (one.artifact.options["inputs"], one.artifact.options["outputs"]) == (["data"], ["prob"])
    assert re.fullmatch("[0-9a-f]{64}", one.artifact.options["source_sha256"]["bin"])
    assert one.artifact.sha256["bin"] == one.artifact.options["source_sha256"]["bin"]


def test_the_report_says_that_an_artifact_was_supplied(measured):
    assert "<dt>converter</dt><dd>supplied</dd>" in (measured.run / "report.html").read_text()


def test_a_network_without_a_reference_is_measured_and_its_parity_called_unknown(measured):
    (one,) = [m for m in measured.measurements if m.case.model == "lonely"]

    assert one.status == "measured"
    assert one.latency is not None
    assert one.peak_rss_mib is not None
    assert one.parity is None
    assert one.reason.startswith("parity is unknown: the model has no reference. Give its ONNX as source")
    assert one.reason in (measured.run / "report.html").read_text()
    assert re.search(r"SKIPPED.*test_parity.*parity is unknown", measured.printed)


def test_a_file_for_another_processor_is_told_and_not_measured(measured):
    (one,) = [m for m in measured.measurements if m.case.model == "phone"]

    assert (one.status, one.not_applicable) == ("unsupported", True)
    assert re.search(r"phone\.nb is made for arm, the device is x86_64: .*--valid_targets=x86", one.reason)


def test_a_zoo_that_is_there_is_not_overwritten_unless_told(tmp_path):
    (tmp_path / "zoo.toml").write_text("mine")
    (tmp_path / "net.param").write_text("7767517\n2 2\nInput x 0 1 x 0=4 1=4 2=3\nReLU r 1 1 x y\n")
    (tmp_path / "net.bin").touch()

    refused = pocketbench("models", "import", ".", cwd=tmp_path)
    assert (refused.returncode, (tmp_path / "zoo.toml").read_text()) == (2, "mine")
    assert "zoo.toml is there already: name another with --out, or give --force" in refused.stderr

    done = pocketbench("models", "import", ".", "--force", "--name-prefix", "hub-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (model,) = load_zoo(tmp_path / "zoo.toml").values()
    assert (model.name, model.inputs[0].shape) == ("hub-net", (1, 3, 4, 4))


def test_with_convert_the_onnx_becomes_the_source_too(collection, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "net.onnx").write_bytes((collection / "ONNXRuntime/ppocr/ppocr-cls-48x192.onnx").read_bytes())

    done = pocketbench("models", "import", folder, "--convert", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    (model,) = load_zoo(folder / "zoo.toml").values()
    assert model.source == "file:net.onnx"
    assert model.sha256 == model.artifacts[0].files["onnx"].sha256
