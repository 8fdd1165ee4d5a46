"""The zoo and the expectations: read strictly, mistakes told where they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import PocketbenchError
from harness.models.zoo import load_expectations, load_zoo
from harness.spec import Budget, ParityLimits, TensorSpec

SUITES = Path(__file__).parent.parent / "suites"

GOOD = {
    "source": '"file:net.onnx"',
    "sha256": f'"{"a" * 64}"',
    "inputs": '[{ name = "x", shape = [1, 3, 8, 8] }]',
    "feed": '"text_page"',
}

KNOWN = {
    "model": '"net"',
    "runtime": '"mnn"',
    "precision": '"w4"',
    "expect": '"parity"',
    "reason": '"the last layer is lost"',
    "evidence": '"cosine 0.008"',
}


BACKENDS = {"mnn": ("cpu",), "ncnn": ("cpu", "vulkan")}


def written(path, header, entries, **changes):
    lines = [f"{key} = {value}" for key, value in {**entries, **changes}.items() if value is not None]
    path.write_text("\n".join(["# a comment first", header, *lines, ""]))
    return path


@pytest.fixture
def zoo(tmp_path):
    def write(**changes):
        return written(tmp_path / "zoo.toml", "[models.net]", GOOD, **changes)

    return write


@pytest.fixture
def expectations(tmp_path):
    def write(**changes):
        return written(tmp_path / "expectations.toml", "[[known]]", KNOWN, **changes)

    return write


def test_the_shipped_zoo_has_five_default_models_and_one_on_request():
    models = load_zoo(SUITES / "zoo.toml")

    assert [name for name, model in models.items() if model.default] == [
        "ppocr_det",
        "ppocr_rec",
        "ppocr_cls",
        "centerface",
        "silero_vad",
    ]
    assert not models["heavy"].default
    assert all(model.license for model in models.values())
    assert models["silero_vad"].constants == {"sr": 16000}


def test_reading_the_zoo_imports_neither_numpy_nor_pillow():
    code = (
        "import pathlib, sys; from harness.models.zoo import load_zoo; "
        f"load_zoo(pathlib.Path({str(SUITES / 'zoo.toml')!r})); "
        "print(sorted({'numpy', 'PIL', 'onnxruntime'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_model_keeps_everything_its_table_says(zoo):
    path = zoo(
        inputs='[{ name = "ids", shape = [1, 64], dtype = "int64" }]',
        constants="{ scale = 2.5 }",
        budget="{ latency_ms = 40 }",
        parity="{ fp16 = { cosine = 0.99 } }",
        default="false",
    )

    model = load_zoo(path)["net"]

    assert model.name == "net"
    assert model.inputs == (TensorSpec(name="ids", shape=(1, 64), dtype="int64"),)
    assert model.constants == {"scale": 2.5}
    assert model.budget == Budget(latency_ms=40.0)
    assert model.parity == {"fp16": ParityLimits(cosine=0.99)}
    assert not model.default


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"licence": '"MIT"'}, ["[models.net]", "unknown key 'licence'", "Did you mean license"]),
        ({"name": '"other"'}, ["unknown key 'name'"]),
        ({"inputs": '[{ name = "x", shap = [1] }]'}, ["inputs[0]", "'shap'", "Did you mean shape"]),
        ({"budget": "{ latency = 4 }"}, ["budget", "'latency'", "Did you mean latency_ms"]),
        ({"parity": "{ fp16 = { cos = 0.9 } }"}, ["parity.fp16", "'cos'", "cosine"]),
        ({"parity": "{ fp61 = { cosine = 0.9 } }"}, ["unknown precision 'fp61'", "fp16"]),
        ({"inputs": '[{ name = "x", shape = [1, "n"] }]'}, ["inputs[0].shape[1]", "Expected `int`"]),
        ({"inputs": '[{ name = "x", shape = [1, -1] }]'}, ["'x'", "[1, -1]", "1 or more"]),
        ({"inputs": None}, ["missing required field `inputs`", "`pocketbench models doctor FILE`"]),
        ({"inputs": '[{ name = "x", shape = [1], dtype = "float" }]'}, ["unknown dtype 'float'", "float32"]),
        ({"inputs": "[]"}, ["inputs is empty"]),
        ({"inputs": '"x"'}, ["inputs", "Expected `array`"]),
        ({"constants": "{ x = 1 }"}, ["'x' is given twice"]),
        ({"sha256": '"abc"'}, ["sha256 is 64 hexadecimal digits", "'abc'"]),
        ({"source": None}, ["[models.net]", "missing required field `source`"]),
        ({"feed": '"text_pag"'}, ["unknown feed 'text_pag'", "Did you mean text_page"]),
        ({"feed": '"photo"'}, ["'photo' is made from a file", "feed_source"]),
        ({"feed_source": '"file:a.png"'}, ["feed_source and feed_sha256 are given together"]),
        ({"source": '"hf:org/net/more"'}, ["is not of the form hf:REPOSITORY@REVISION"]),
        ({"source": '"net.onnx"'}, ["unknown scheme 'net.onnx'", "file, hf, overlay, pypi, url"]),
        ({"source": '"pypi:package:net.onnx"'}, ["pypi:PACKAGE==VERSION:PATH/IN/WHEEL"]),
        ({"source": '"pypi:package==1.0:../../net.onnx"'}, ["pypi:PACKAGE==VERSION:PATH/IN/WHEEL"]),
        ({"source": '"url:ftp://host/net.onnx"'}, ["url:https://HOST/PATH"]),
        ({"task": '"classify"'}, ["task", "classify"]),
    ],
)
def test_a_mistake_in_a_model_names_file_line_table_and_what_was_meant(zoo, changes, said):
    path = zoo(**changes)

    with pytest.raises(PocketbenchError) as error:
        load_zoo(path)

    assert f"{path}:2" in str(error.value)
    for part in said:
        assert part in str(error.value)


def test_a_model_name_that_cannot_be_a_file_name_is_refused(tmp_path):
    path = written(tmp_path / "zoo.toml", '[models."a/b"]', GOOD)

    with pytest.raises(PocketbenchError, match="letters, digits"):
        load_zoo(path)


def test_broken_toml_names_file_and_line(tmp_path):
    path = tmp_path / "zoo.toml"
    path.write_text('[models.net]\nsource = "file:net.onnx"\nsha256 =\n')

    with pytest.raises(PocketbenchError, match=r"zoo\.toml:3:9: not valid TOML"):
        load_zoo(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "no models"),
        (b"models = 3\n", "no models"),
        (b"[models]\nnet = 3\n", "is a table, not 3"),
        (b"[model.net]\n", "unknown table 'model'"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_zoo_is_refused(tmp_path, text, said):
    path = tmp_path / "zoo.toml"
    path.write_bytes(text)

    with pytest.raises(PocketbenchError, match=said):
        load_zoo(path)


def test_a_zoo_that_is_not_there_is_an_error_with_its_path(tmp_path):
    with pytest.raises(PocketbenchError, match=r"cannot read .*nowhere"):
        load_zoo(tmp_path / "nowhere.toml")


def test_expectations_are_read_in_order(expectations):
    path = expectations()
    path.write_text(path.read_text() + path.read_text().replace('"w4"', '"int8"'))

    known = load_expectations(path, models=["net"], runtimes=BACKENDS)

    assert [(one.model, one.runtime, one.precision) for one in known] == [
        ("net", "mnn", "w4"),
        ("net", "mnn", "int8"),
    ]


def test_a_file_without_expectations_has_none(tmp_path):
    path = tmp_path / "expectations.toml"
    path.write_text("# nothing is known to be wrong\n")

    assert load_expectations(path) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resaon": '"x"'}, ["unknown key 'resaon'", "Did you mean reason"]),
        ({"model": '"*"'}, ["model names one model", "'*'"]),
        ({"runtime": '"*"'}, ["runtime names one runtime", "'*'"]),
        ({"model": '"nett"'}, ["unknown model 'nett'", "Did you mean net"]),
        ({"runtime": '"nccn"'}, ["unknown runtime 'nccn'", "Did you mean ncnn"]),
        ({"precision": '"fp8"'}, ["precision", "fp8"]),
        ({"backend": '"vulkan"'}, ["unknown backend of mnn 'vulkan'", "cpu"]),
        ({"expect": '"bad"'}, ["expect", "bad"]),
        ({"reason": '" "'}, ["reason is empty"]),
        ({"evidence": None}, ["missing required field `evidence`"]),
    ],
)
def test_a_mistake_in_an_expectation_names_file_line_and_what_was_meant(expectations, changes, said):
    path = expectations(**changes)

    with pytest.raises(PocketbenchError) as error:
        load_expectations(path, models=["net"], runtimes=BACKENDS)

    assert f"{path}:2" in str(error.value)
    for part in said:
        assert part in str(error.value)


def test_an_expectation_may_be_about_one_backend_alone(expectations):
    path = expectations(runtime='"ncnn"', backend='"vulkan"')
    path.write_text(path.read_text() + path.read_text().replace("vulkan", "cpu"))

    known = load_expectations(path, models=["net"], runtimes=BACKENDS)

    assert [one.label for one in known] == ["net/ncnn/w4/vulkan", "net/ncnn/w4/cpu"]


def test_an_expectation_of_all_backends_leaves_none_to_a_second(expectations):
    path = expectations(runtime='"ncnn"')
    path.write_text(path.read_text() + expectations(runtime='"ncnn"', backend='"vulkan"').read_text())

    with pytest.raises(PocketbenchError, match=r"net/ncnn/w4/vulkan is listed twice, as net/ncnn/w4;"):
        load_expectations(path)


def test_a_case_that_is_expected_twice_is_told_at_its_second_place(expectations):
    path = expectations()
    path.write_text(path.read_text() * 2)

    with pytest.raises(PocketbenchError, match=r":10 \[\[known\]\] number 2: net/mnn/w4 is listed twice"):
        load_expectations(path)
