"""How the zoo says that artifacts of a model exist already, and which cells there are then."""

import pytest
from peers.artifact_zoos import HASH, HEAD, zoo_in

from harness.errors import PocketbenchError
from harness.matrix import Filters, build_cases
from harness.models.zoo import load_zoo
from harness.spec import Model, PinnedFile

SOURCE = f'source = "file:net.onnx"\nsha256 = "{HASH}"\n'


@pytest.fixture
def zoo(tmp_path):
    return zoo_in(tmp_path)


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
