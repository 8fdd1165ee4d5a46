"""Models that another framework wrote: what the runtimes' converters make of them, and what is recorded."""

import shutil

import numpy as np
import pytest
from peers.originals import (
    CAFFE,
    COMBINED,
    FILES,
    FIRST,
    LAST,
    TENSORFLOW,
    TFLITE,
    TORCHSCRIPT,
    UNCOMBINED,
    case,
    network,
    rewrite_code,
)
from typer.testing import CliRunner

from harness.cache import file_sha256
from harness.cli.app import app
from harness.convert import Format
from harness.convert.matching import Wanted
from harness.convert.originals import convert_original
from harness.environments import environment
from harness.models.doctor.formats.naive_buffer import targets_of
from harness.models.zoo import load_zoo
from harness.platforms import Platform
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.toolchains import ONNX, run_tool

pytest_plugins = ["peers.original_fixtures"]


@pytest.mark.parametrize(
    ("originals", "shape", "outputs"),
    [
        pytest.param(TFLITE, LAST, ["Identity", "Identity_1"], id="tflite"),
        pytest.param(TENSORFLOW, LAST, ["prob", "shifted"], id="tensorflow"),
        pytest.param(CAFFE, FIRST, ["prob", "shifted"], id="caffe"),
        pytest.param(TORCHSCRIPT, FIRST, ["out0", "out1"], id="torchscript"),
        pytest.param(COMBINED, FIRST, None, id="paddle"),
        pytest.param(UNCOMBINED, FIRST, None, id="paddle-uncombined"),
    ],
)
def test_an_original_computes_in_its_runtime_what_the_network_computes(
    original_ready, original_computed, originals, shape, outputs
):
    made = original_ready(case(originals.split()[0]), originals, shape)

    arrays, (fed,) = original_computed(made)

    last = shape == LAST
    right = network().compute(fed.transpose(0, 3, 1, 2) if last else fed)
    found = dict(zip([spec.name for spec in made.outputs], arrays, strict=True))
    if outputs:
        assert sorted(found) == outputs
    for array in found.values():
        wanted = right["prob" if array.size == right["prob"].size else "shifted"]
        if last and wanted.ndim == 4:
            wanted = wanted.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(array.reshape(wanted.shape), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("originals", "precision", "shape"),
    [
        *((TFLITE, precision, LAST) for precision in ("fp16", "w8", "w4", "int8")),
        (CAFFE, "int8", FIRST),
        *((TORCHSCRIPT, precision, FIRST) for precision in ("fp16", "int8")),
        (COMBINED, "w8", FIRST),
    ],
)
def test_every_precision_is_converted_from_the_original(
    original_ready, original_computed, originals, precision, shape
):
    runtime = originals.split()[0]
    made = original_ready(
        case(runtime, precision, "mobile" if runtime == "paddlelite" else "cpu"), originals, shape
    )

    arrays, (fed,) = original_computed(made)

    last = shape == LAST
    right = network().compute(fed.transpose(0, 3, 1, 2) if last else fed)["shifted"]
    (found,) = (array for array in arrays if array.size == right.size)
    wanted = right.transpose(0, 2, 3, 1) if last else right
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.97


def test_an_nb_file_is_made_for_the_processor_of_the_device(originals_cache, originals_folder, originals_zoo):
    model = originals_zoo(UNCOMBINED)
    form = Format.of(case("paddlelite", "int8", "mobile"), Platform(arch="aarch64"))
    inputs = [Wanted.of(tensor) for tensor in model.inputs]

    made = convert_original(
        originals_cache, model, model.originals[0], form, originals_folder, inputs=inputs, outputs=None
    )

    assert targets_of(made.artifact.path / made.artifact.record.files["nb"]) == {"arm"}
    assert made.artifact.record.converter == f"opt@{RUNTIMES['paddlelite'].default_version}"


def test_inputs_and_outputs_go_where_the_zoo_says(originals_cache, originals_folder, original_computed):
    path = originals_folder / "zoo.toml"
    path.write_text(
        f"""[models.net]
inputs = [{{ name = "minuend", shape = {FIRST} }}, {{ name = "left", shape = {FIRST} }}]
feed = "stand_in"
[models.net.originals.ncnn]
torchscript = "file:difference.pt"
inputs = {{ minuend = "left", left = "right" }}
outputs = ["out1", "out0"]
"""
    )
    made = make_ready(originals_cache, load_zoo(path)["net"], originals_folder, case("ncnn"))

    (both, difference), (left, right) = original_computed(made)

    np.testing.assert_allclose(difference, left - right, atol=1e-6)
    np.testing.assert_allclose(both, left * 2 + right, atol=1e-6)
    assert not np.array_equal(left, right)


def test_a_blob_that_nothing_takes_is_no_output(original_ready, original_computed, originals_folder):
    rewrite_code(
        originals_folder / "network.pt",
        lambda code: code.replace(
            b"    _1 = (_0, torch.add(above,",
            b"    half, rest, = torch.chunk(above, 2, 3)\n    _1 = (_0, torch.add(half,",
        ),
    )
    made = original_ready(case("ncnn"), TORCHSCRIPT)

    (_, half), (fed,) = original_computed(made)

    assert [spec.name for spec in made.outputs] == ["out0", "out1"]
    np.testing.assert_allclose(half, network().compute(fed)["shifted"][0, ..., :3], atol=1e-5)


@pytest.mark.parametrize("reference", [None, [Wanted(names=("prob",), shape=(1, 5), dtype="float32")]])
def test_outputs_that_the_zoo_leaves_out_are_not_the_models(
    originals_cache, originals_folder, originals_zoo, reference
):
    model = originals_zoo('ncnn = { torchscript = "file:network.pt", outputs = ["out0"] }')
    inputs = [Wanted.of(tensor) for tensor in model.inputs]

    made = convert_original(
        originals_cache,
        model,
        model.originals[0],
        Format.of(case("ncnn"), Platform(arch="x86_64")),
        originals_folder,
        inputs=inputs,
        outputs=reference,
    )

    assert [spec.name for spec in made.outputs] == ["out0"]


def test_a_supplied_artifact_that_came_from_tensorflow_computes_right_as_well(
    original_ready, original_computed, originals_folder
):
    made = original_ready(case("mnn"), TFLITE, LAST)
    shutil.copyfile(made.artifact.path / "model.mnn", originals_folder / "network.mnn")

    supplied = original_ready(
        case("mnn"), TORCHSCRIPT, LAST, after='[models.net.artifacts]\nmnn = "file:network.mnn"'
    )

    assert supplied.artifact.record.converter == "supplied"
    arrays, (fed,) = original_computed(supplied)
    wanted = network().compute(fed.transpose(0, 3, 1, 2))["shifted"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(arrays[1], wanted, atol=1e-5)


# What it is judged against, and what is recorded


def test_without_a_source_the_zoo_names_the_original_that_the_others_are_judged_against(original_ready):
    both = f"{CAFFE}\n{TORCHSCRIPT}"

    unknown = original_ready(case("ncnn"), both)
    judged = original_ready(case("ncnn"), both, more='reference = "mnn"\n')

    assert unknown.reference is None
    assert judged.reference.label == f"mnn@{RUNTIMES['mnn'].default_version} fp32, from caffe"
    assert [spec.shape for spec in judged.outputs] == [spec.shape for spec in judged.reference.outputs]


def test_with_a_source_the_reference_is_the_onnx_and_other_runtimes_convert_it(
    original_ready, originals_folder, originals_cache
):
    tools = environment(originals_cache, ONNX)
    text = (
        f"net (float{FIRST} image) => (float[1,3] prob) {{ a = GlobalAveragePool(image) prob = Flatten(a) }}"
    )
    code = "import sys, onnx; onnx.save(onnx.parser.parse_model(sys.argv[2]), sys.argv[1])"
    head = '<ir_version: 8, opset_import: ["" : 13]>'
    run_tool(
        "saving",
        tools.command("-c", code, "net.onnx", head + text),
        cwd=originals_folder,
        env=tools.variables(),
    )
    source = f'source = "file:net.onnx"\nsha256 = "{file_sha256(originals_folder / "net.onnx")}"\n'
    original = f'{CAFFE[:-2]}, outputs = ["prob"] }}'

    from_caffe, from_onnx = (
        original_ready(case(one), original, more=source) for one in ("mnn", "onnxruntime")
    )

    assert from_caffe.reference == from_onnx.reference
    assert from_caffe.reference.label.startswith("onnxruntime@")
    assert from_caffe.artifact.record.options["original"]["framework"] == "caffe"
    assert "original" not in from_onnx.artifact.record.options


def test_the_record_says_what_was_converted_and_how(original_ready):
    record = original_ready(case("mnn", "w4"), CAFFE).artifact.record

    told = record.options["original"]
    assert record.converter == f"mnnconvert@{RUNTIMES['mnn'].default_version}"
    assert told["framework"] == "caffe"
    assert told["sources"] == {
        "prototxt": "file:network.prototxt",
        "caffemodel": "file:network.caffemodel",
    }
    assert told["sha256"]["caffemodel"] == file_sha256(FILES / "network.caffemodel")
    assert (told["inputs"], told["outputs"]) == (["image"], ["prob", "shifted"])
    assert told["rewritten"] == "no: only ONNX is"
    assert "--weightQuantBits" in record.options["flags"]
    assert "rewritten" not in record.options


def test_the_same_files_are_converted_once_and_another_content_again(
    original_ready, originals_folder, originals_cache
):
    first = original_ready(case("mnn"), CAFFE).artifact
    (originals_folder / "moved.prototxt").write_bytes((originals_folder / "network.prototxt").read_bytes())
    before = len(originals_cache.built)
    moved = original_ready(case("mnn"), CAFFE.replace("network.prototxt", "moved.prototxt")).artifact

    assert moved.path == first.path
    assert not [one for one in originals_cache.built[before:] if one.startswith("artifacts/")]
    text = (originals_folder / "network.prototxt").read_text()
    (originals_folder / "network.prototxt").write_text(text.replace("shift: 1", "shift: 2"))
    assert original_ready(case("mnn"), CAFFE).artifact.path != first.path


# The commands


def test_convert_takes_the_original_and_models_lists_it(
    originals_zoo, originals_folder, originals_cache, monkeypatch
):
    originals_zoo(f"{CAFFE}\n{TORCHSCRIPT}")
    monkeypatch.setenv("POCKETBENCH_CACHE", str(originals_cache.root))
    zoo = ["--zoo", str(originals_folder / "zoo.toml")]

    cells = ["--runtime", "mnn,ncnn", "--precision", "int8"]
    converted = CliRunner().invoke(app, ["convert", "net", *cells, "--force", *zoo])
    listed = CliRunner().invoke(app, ["models", *zoo], env={"COLUMNS": "200"})

    assert converted.exit_code == 0, converted.output
    assert converted.output.count(" MiB  ") == 2
    assert "originals: caffe (mnn), torchscript (ncnn)" in listed.output
