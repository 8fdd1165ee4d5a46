"""Models whose artifacts exist already: what is checked of the files, and what becomes of them."""

import shutil

import pytest
from peers.artifact_zoos import HASH, HEAD, zoo_in

from harness.cache import Cache, file_sha256
from harness.convert import Format
from harness.convert.interface import read_interface
from harness.convert.supplied import find_supplied, supply
from harness.environments import environment
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.models.doctor.formats.naive_buffer import targets_of
from harness.models.zoo import load_zoo
from harness.platforms import Platform
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.spec import Case
from harness.toolchains import ONNX, run_tool

pytest_plugins = ["peers.collection"]

WEIGHTS_BESIDE = """
import sys, numpy as np, onnx
model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 13]> net (float[4] x) => (float[4] y) '
                                '{ y = Add(x, w) }')
model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(4, np.float32), "w"))
onnx.save(model, sys.argv[1], save_as_external_data=True, location="net.data", size_threshold=0)
"""


def case(runtime, precision="fp32", backend="cpu"):
    version = RUNTIMES[runtime].default_version
    return Case(
        model="net", runtime=runtime, runtime_version=version, precision=precision, threads=1, backend=backend
    )


@pytest.fixture
def zoo(tmp_path):
    return zoo_in(tmp_path)


@pytest.fixture(scope="module")
def cache():
    return Cache()


@pytest.fixture
def folder(tmp_path, converted):
    """Files of one network, by short names."""
    for name, path in {
        "net.onnx": converted.onnx,
        "net.mnn": converted.file("mnn"),
        "half.mnn": converted.file("mnn", "fp16"),
        "net.param": converted.file("ncnn", role="param"),
        "net.bin": converted.file("ncnn", role="bin"),
    }.items():
        shutil.copyfile(path, tmp_path / name)
    return tmp_path


@pytest.fixture
def ready(cache, folder, zoo):
    """Makes a case of the model with these artifacts ready."""

    def make(case, artifacts, more="", **rest):
        return make_ready(cache, zoo(artifacts, more), folder, case, **rest)

    return make


# What is checked of the files


@pytest.mark.parametrize(
    ("change", "artifacts", "kind", "said"),
    [
        (None, 'mnn = "file:gone.mnn"', PocketbenchError, r"there is no file .*gone\.mnn"),
        (
            ("net.mnn", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
            f'mnn = {{ source = "file:net.mnn", sha256 = "{HASH}" }}',
            PocketbenchError,
            r"net\.mnn is a git-lfs pointer, not the file it stands for: run `git lfs pull`",
        ),
        (
            None,
            f'mnn = {{ source = "file:net.mnn", sha256 = "{HASH}" }}',
            PocketbenchError,
            "its sha256 is [0-9a-f]{64}, expected aaaa",
        ),
        (("net.mnn", b"MNN" * 99), 'mnn = "file:net.mnn"', ConversionError, "not a readable MNN model"),
        (
            ("net.param", b"7767517\n3 3\nInput a 0 1 a\n"),
            'ncnn = { param = "file:net.param", bin = "file:net.bin" }',
            ConversionError,
            "cut off: it announces 3 layers and has 1",
        ),
        (
            ("net.param", b"\xff\xfe\x00"),
            'ncnn = { param = "file:net.param", bin = "file:net.bin" }',
            ConversionError,
            r"not an ncnn \.param",
        ),
        (
            None,
            'mnn = { source = "file:net.mnn", inputs = { x = "image" } }',
            PocketbenchError,
            r"the file has no input 'image'; it has input x \(float32 1x3x48x192\)",
        ),
        (
            None,
            'mnn = { source = "file:net.mnn", outputs = ["prob"] }',
            PocketbenchError,
            r"the file has no output 'prob'; it has",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_model(ready, folder, change, artifacts, kind, said):
    if change:
        (folder / change[0]).write_bytes(change[1])

    with pytest.raises(PocketbenchError, match=rf"model net, (mnn|ncnn) fp32 \(file:.*{said}") as caught:
        ready(case(artifacts.split()[0]), artifacts)

    assert type(caught.value) is kind


def test_a_shape_that_is_not_the_files_is_told_with_both(cache, folder, tmp_path):
    path = tmp_path / "zoo.toml"
    path.write_text(f'{HEAD.replace("192", "160")}[models.net.artifacts]\nmnn = "file:net.mnn"\n')

    with pytest.raises(
        PocketbenchError,
        match=r"the file's input is x \(float32 1x3x48x192\), the zoo says x \(.* 1x3x48x160\)",
    ):
        make_ready(cache, load_zoo(path)["net"], folder, case("mnn"))


def test_weights_beside_an_onnx_file_are_told(cache, tmp_path):
    tools, target = environment(cache, ONNX), tmp_path / "net.onnx"
    command = tools.command("-c", WEIGHTS_BESIDE, str(target))
    run_tool("saving", command, cwd=tmp_path, env=tools.variables())

    with pytest.raises(
        ConversionError, match=r"its weights lie in other files \(net\.data\): save it as one"
    ):
        read_interface(cache, "onnxruntime", RUNTIMES["onnxruntime"].default_version, {"onnx": target})


def test_an_nb_file_names_the_processor_it_is_for(converted):
    x86 = converted.file("paddlelite", backend="mobile")
    arm = converted.file("paddlelite", backend="mobile", arch="aarch64")

    assert targets_of(x86) == {"x86"}
    assert targets_of(arm) == {"arm"}


def test_an_nb_file_for_this_machine_does_not_go_to_a_phone(cache, converted, folder, zoo):
    shutil.copyfile(converted.file("paddlelite", backend="mobile"), folder / "net.nb")
    model = zoo('paddlelite = "file:net.nb"')
    form = Format.of(case("paddlelite", backend="mobile"), Platform(arch="aarch64"))

    with pytest.raises(UnsupportedError, match=r"net\.nb is made for x86, the device is aarch64"):
        supply(cache, model, find_supplied(model, form), form, folder, inputs=[], outputs=None)


# What becomes of them


def test_what_was_supplied_is_used_and_the_rest_converted_from_the_source(ready, converted):
    source = f'source = "file:net.onnx"\nsha256 = "{file_sha256(converted.onnx)}"\n'
    artifacts = 'mnn = { source = "file:half.mnn", precision = "fp16" }'

    half, whole = ready(case("mnn", "fp16"), artifacts, source), ready(case("mnn"), artifacts, source)

    assert half.artifact.record.converter == "supplied"
    assert whole.artifact.record.converter.startswith("mnnconvert@")
    assert half.reference == whole.reference
    assert half.reference.label.endswith(" fp32")


def test_a_cell_that_nothing_was_supplied_for_is_told_with_what_there_is(ready):
    with pytest.raises(
        UnsupportedError, match=r"no artifact for ncnn fp32 \(cpu\) and no source .* mnn fp32"
    ):
        ready(case("ncnn"), 'mnn = "file:net.mnn"')


def test_the_zoo_says_which_artifact_the_others_are_judged_against(ready):
    pair = 'mnn = "file:net.mnn"\nncnn = { param = "file:net.param", bin = "file:net.bin" }'

    made = ready(case("ncnn"), pair, 'reference = "mnn"\n')

    assert made.reference.label == f"mnn@{RUNTIMES['mnn'].default_version} fp32, supplied"
    (output,) = made.outputs
    assert (output.name, output.shape) == ("out0", made.reference.outputs[0].shape)


def test_the_same_bytes_are_kept_once_however_they_are_called(ready, folder):
    shutil.copyfile(folder / "net.mnn", folder / "other.mnn")

    one = ready(case("mnn"), 'mnn = "file:net.mnn"').artifact
    other = ready(case("mnn"), 'mnn = "file:other.mnn"').artifact

    assert one.path == other.path
    assert other.record.options["sources"] == {"mnn": "file:other.mnn"}


def test_a_reference_that_cannot_be_used_fails_its_cells_instead_of_passing_them_over(
    ready, folder, converted
):
    phones = converted.file("paddlelite", backend="mobile", arch="aarch64")
    shutil.copyfile(phones, folder / "net.nb")
    both = 'mnn = "file:net.mnn"\npaddlelite = "file:net.nb"'

    with pytest.raises(ConversionError, match=r"the reference cannot be used: .*net\.nb is made for arm"):
        ready(case("mnn"), both, 'reference = "paddlelite"\n')
