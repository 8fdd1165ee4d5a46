"""Models whose artifacts exist already: how the zoo says so, what is checked, what the files are fed."""

import shutil

import pytest

from harness.cache import Cache, file_sha256
from harness.convert import Format
from harness.convert.interface import read_interface
from harness.convert.naive_buffer import targets_of
from harness.convert.supplied import find_supplied, supply
from harness.environments import environment
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.matrix import Filters, build_cases
from harness.models.zoo import load_zoo
from harness.platforms import Platform
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.spec import Case, Model, PinnedFile
from harness.toolchains import ONNX, run_tool

pytest_plugins = ["peers.collection"]

HASH = "a" * 64
HEAD = '[models.net]\ninputs = [{ name = "x", shape = [1, 3, 48, 192] }]\nfeed = "text_line"\n'
SOURCE = f'source = "file:net.onnx"\nsha256 = "{HASH}"\n'
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
    """Reads a zoo with one model: its artifacts, and lines before them."""

    def read(artifacts, more=""):
        path = tmp_path / "zoo.toml"
        path.write_text(f"{HEAD}{more}[models.net.artifacts]\n{artifacts}\n")
        return load_zoo(path)["net"]

    return read


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


# The notation


def test_an_artifact_is_one_source_or_a_table_or_several_tables(zoo):
    model = zoo(
        'onnxruntime = "file:net.onnx"\n'
        'mnn = ["file:net.mnn", '
        f'{{ source = "url:https://host/h.mnn", sha256 = "{HASH}", precision = "fp16" }}]\n'
        'ncnn = { param = "file:n.param", bin = "file:n.bin", inputs = { x = "data" }, outputs = ["prob"] }\n'
    )

    onnx, mnn, half, ncnn = model.artifacts
    assert onnx.files == {"onnx": PinnedFile(source="file:net.onnx")}
    assert (mnn.precision, half.precision) == ("fp32", "fp16")
    assert half.files["mnn"].sha256 == HASH
    assert ncnn.files.keys() == {"param", "bin"}
    assert (ncnn.inputs, ncnn.outputs) == ({"x": "data"}, ("prob",))
    assert (model.source, model.reference) == ("", "")


@pytest.mark.parametrize(
    ("artifacts", "more", "said"),
    [
        ('mn = "file:a.mnn"', "", ["unknown runtime 'mn'", "Did you mean mnn"]),
        ("mnn = 3", "", ["artifacts.mnn", "a file's source or a table, not 3"]),
        ("mnn = []", "", ["artifacts.mnn", "names no file"]),
        ('mnn = "a.mnn"', "", ["artifacts.mnn", "unknown scheme"]),
        ('mnn = "url:https://host/a.mnn"', "", ["artifacts.mnn", "sha256 is missing; only a file: source"]),
        ('mnn = { source = "file:a.mnn", sha256 = "abc" }', "", ["64 hexadecimal digits", "'abc'"]),
        ('mnn = { source = "file:a.mnn", sha = "abc" }', "", ["unknown key 'sha'", "sha256"]),
        ('mnn = { source = "file:a.mnn", param = "file:b" }', "", ["unknown key 'param'"]),
        ('mnn = { source = "file:a.mnn", precision = "fp61" }', "", ["unknown precision 'fp61'", "fp16"]),
        ('mnn = { source = "file:a.mnn", outputs = "y" }', "", ["outputs", "Expected `array`"]),
        ('mnn = { precision = "fp16" }', "", ["mnn takes source; no file is given"]),
        ('ncnn = "file:a.param"', "", ["ncnn takes param and bin, not one file"]),
        ('ncnn = { param = "file:a.param" }', "", ["param and bin; param is given without bin"]),
        (
            f'ncnn = {{ param = "file:a.param", bin = "file:a.bin", sha256 = "{HASH}" }}',
            "",
            ["unknown key 'sha256'", "bin_sha256, inputs"],
        ),
        ('paddlelite = { pdmodel = "file:a" }', "", ["pdmodel is given without pdiparams"]),
        (
            'paddlelite = { source = "file:a.nb", pdmodel = "file:b", pdiparams = "file:c" }',
            "",
            ["source, or pdmodel and pdiparams", "do not belong together"],
        ),
        ('mnn = ["file:a.mnn", "file:b.mnn"]', "", ["artifacts.mnn: fp32 is given twice"]),
        ('mnn = { source = "file:a.mnn", inputs = { y = "x" } }', "", ["maps 'y'", "it has x"]),
        ('mnn = "file:a.mnn"', 'reference = "ncnn"\n', ["not 'ncnn'", "there is mnn"]),
        ('mnn = "file:a.mnn"', f'{SOURCE}reference = "mnn"\n', ["judged against it: leave reference out"]),
        ('mnn = "file:a.mnn"', "constants = { sr = 1 }\n", ["constants are set in the source"]),
        ('mnn = "file:a.mnn"', f'sha256 = "{HASH}"\n', ["missing required field `source`"]),
        ('mnn = "file:a.mnn"', 'source = ""\n', ["unknown scheme ''"]),
    ],
)
def test_a_mistake_in_the_artifacts_names_file_line_table_and_what_was_meant(zoo, artifacts, more, said):
    with pytest.raises(PocketbenchError) as error:
        zoo(artifacts, more)

    for part in ("zoo.toml:1 [models.net]", *said):
        assert part in str(error.value)


@pytest.mark.parametrize("artifacts", ["", "artifacts = 3", "artifacts = {}"])
def test_a_model_needs_a_source_or_artifacts(tmp_path, artifacts):
    path = tmp_path / "zoo.toml"
    path.write_text(f"{HEAD}{artifacts}\n")

    with pytest.raises(
        PocketbenchError, match=r"missing required field `source`|is a table of files by runtime"
    ):
        load_zoo(path)


def test_two_formats_of_one_runtime_for_two_backends_are_no_contradiction(zoo):
    model = zoo('paddlelite = ["file:a.nb", { pdmodel = "file:b.pdmodel", pdiparams = "file:b.pdiparams" }]')

    assert [one.files.keys() for one in model.artifacts] == [{"nb"}, {"pdmodel", "pdiparams"}]


# Which cells there are


def cells(model, **asked):
    return {(c.runtime, c.precision, c.backend) for c in build_cases({"net": model}, Filters(**asked))}


def test_without_a_source_only_what_is_supplied_is_measured(zoo):
    model = zoo('mnn = { source = "file:a.mnn", precision = "fp16" }\npaddlelite = "file:a.nb"')

    assert cells(model) == {("mnn", "fp16", "cpu"), ("paddlelite", "fp32", "mobile")}
    assert cells(model, backends=("mobile",)) == {("mnn", "fp16", "cpu"), ("paddlelite", "fp32", "mobile")}


def test_what_is_asked_for_by_name_and_not_supplied_has_a_row_that_says_so(zoo):
    model = zoo('mnn = { source = "file:a.mnn", precision = "fp16" }')

    assert cells(model, runtimes=("ncnn",)) == {("ncnn", "fp32", "cpu")}
    assert cells(model, runtimes=("mnn",), precisions=("fp32",)) == {("mnn", "fp32", "cpu")}


def test_with_a_source_everything_else_is_converted(zoo):
    plain = Model(name="net", feed="text_line", source="file:net.onnx", sha256=HASH, inputs=())
    model = zoo('paddlelite = "file:a.nb"', SOURCE)

    assert cells(model) == {*cells(plain), ("paddlelite", "fp32", "mobile")}


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
