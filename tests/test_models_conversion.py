"""Conversion options and calibration in a zoo: read strictly, over them what is asked for by hand."""

from pathlib import Path

import msgspec
import pytest

from harness.cache import Cache
from harness.convert.calibration import CalibrationPlan
from harness.errors import PocketbenchError
from harness.matrix import Filters, build_cases
from harness.models.conversion_tables import with_options
from harness.models.zoo import load_zoo
from harness.preparation import make_ready
from harness.spec import CalibrationSettings
from harness.spec.conversion import OPTIONS, MnnFourBits, MnnWeights, NcnnInt8, OnnxruntimeInt8

SUITES = Path(__file__).parent.parent / "suites"

MODEL = f"""\
[models.net]
source = "file:net.onnx"
sha256 = "{"a" * 64}"
inputs = [{{ name = "x", shape = [1, 3, 8, 8] }}]
feed = "text_page"
"""


@pytest.fixture
def loaded(tmp_path):
    def load(text):
        path = tmp_path / "zoo.toml"
        path.write_text(f"{MODEL}{text}\n")
        return load_zoo(path)["net"]

    return load


def test_options_are_those_of_their_runtime_and_precision(loaded):
    model = loaded(
        "[models.net.conversion.mnn]\n"
        "w4 = { block = 32, symmetric = true, hqq = false }\n"
        "[models.net.conversion.onnxruntime.int8]\n"
        'leave_out = ["Conv_3"]\n'
    )
    assert model.options("mnn", "w4") == MnnFourBits(block=32, symmetric=True, hqq=False)
    assert model.options("onnxruntime", "int8") == OnnxruntimeInt8(leave_out=("Conv_3",))
    assert model.options("mnn", "w8") is None
    assert model.options("ncnn", "int8") is None


def test_options_without_arguments_are_the_defaults_and_ask_for_nothing():
    kinds = {kind for precisions in OPTIONS.values() for kind in precisions.values()}
    assert all(kind().asked == {} for kind in kinds)
    assert MnnWeights(block=64).asked == {"block": 64}
    assert MnnFourBits(block=32).asked == {"block": 32}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conversion = 3", ["conversion", "is a table such as", "not 3"]),
        ("conversion.mnnn.w8 = { block = 64 }", ["unknown runtime 'mnnn'", "Did you mean mnn"]),
        ("conversion.mnn.w9 = { block = 64 }", ["unknown precision 'w9'", "Did you mean w8"]),
        (
            "conversion.mnn.fp32 = { block = 64 }",
            ["conversion.mnn.fp32: mnn has no options for fp32; it has some for w8, w4, int8"],
        ),
        (
            "conversion.mnn.w8 = { blok = 64 }",
            ["conversion.mnn.w8", "unknown key 'blok'", "Did you mean block"],
        ),
        ("conversion.mnn.w8 = { block = true }", ["conversion.mnn.w8: block: Expected `int`, got `bool`"]),
        (
            "conversion.mnn.w8 = { block = 24 }",
            ["block is a multiple of 16, or 0 for a whole channel, not 24"],
        ),
        ("conversion.mnn.w8 = { symmetric = true }", ["beside symmetric = true write hqq = false"]),
        (
            "conversion.onnxruntime.w8 = { block = 24 }",
            ["conversion.onnxruntime.w8: block is one of 16, 32, 64, 128, 256, not 24"],
        ),
        (
            'conversion.onnxruntime.int8 = { activations = "int8", weights = "uint8" }',
            ["no signed activations with unsigned weights"],
        ),
        ("conversion.ncnn.int8 = { percentile = 101 }", ["percentile: Expected `float` <= 100"]),
        ("calibration = { cout = 3 }", ["calibration", "unknown key 'cout'", "Did you mean count"]),
        ("calibration = { count = 0 }", ["calibration: count: Expected `int` >= 1"]),
        ('calibration = { method = "kll" }', ["unknown calibration method 'kll'", "Did you mean kl"]),
        ('calibration = { method = { mnnn = "kl" } }', ["unknown runtime 'mnnn'"]),
        ('calibration = { method = { mnn = "admmm" } }', ["unknown calibration method 'admmm'"]),
        (
            'artifacts.mnn = { source = "file:a.mnn", precision = "w8" }\nconversion.mnn.w8 = { block = 64 }',
            ["conversion.mnn.w8 has no effect: artifacts hold that file already"],
        ),
    ],
)
def test_a_mistake_names_file_line_table_and_what_was_meant(loaded, tmp_path, text, said):
    with pytest.raises(PocketbenchError) as error:
        loaded(text)
    for part in (f"{tmp_path / 'zoo.toml'}:1 [models.net]", *said):
        assert part in str(error.value)


def test_options_of_a_model_that_cannot_be_converted_are_refused(tmp_path):
    path = tmp_path / "zoo.toml"
    path.write_text(
        '[models.net]\ninputs = [{ name = "x", shape = [1] }]\nfeed = "stand_in"\n'
        'artifacts.mnn = "file:a.mnn"\nconversion.mnn.w8 = { block = 64 }\n'
    )
    with pytest.raises(PocketbenchError, match=r"mnn\.w8 has no effect: there is no source to convert"):
        load_zoo(path)


def test_what_is_asked_for_by_hand_goes_over_the_zoo(loaded):
    model = loaded("conversion.mnn.w4 = { symmetric = true, hqq = false }")
    changed = with_options(model, "mnn", "w4", ["block=64"])
    assert changed.options("mnn", "w4") == MnnFourBits(block=64, symmetric=True, hqq=False)
    words = ["leave_out=conv_0, conv_1", "percentile=99.9"]
    assert with_options(model, "ncnn", "int8", words).options("ncnn", "int8") == NcnnInt8(
        leave_out=("conv_0", "conv_1"), percentile=99.9
    )
    activations = with_options(model, "onnxruntime", "int8", ["activations=int8"])
    assert activations.options("onnxruntime", "int8").activations == "int8"
    assert with_options(model, "mnn", "fp32", ()) is model


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("12", ("12",)),
        ("true", ("true",)),
        ("1.50,2", ("1.50", "2")),
        ('"Conv_0"', ("Conv_0",)),
        ('"Conv,0","Conv_1"', ("Conv,0", "Conv_1")),
        ('["Conv_0", "Conv_1"]', ("Conv_0", "Conv_1")),
        ("Conv_0, Conv_1,", ("Conv_0", "Conv_1")),
        ("[]", ()),
        ("", ()),
    ],
)
def test_a_list_by_hand_needs_no_brackets_and_no_quotes_whatever_the_names_are(loaded, text, names):
    changed = with_options(loaded(""), "onnxruntime", "int8", [f"leave_out={text}"])
    assert changed.options("onnxruntime", "int8") == OnnxruntimeInt8(leave_out=names)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("blok=3", "unknown key 'blok' in --option mnn w8. Did you mean block"),
        ("block", "--option block: is written NAME=VALUE, such as block=64"),
        ("block=many", "--option mnn w8: block: Expected `int`, got `str`"),
    ],
)
def test_a_mistake_by_hand_is_told_the_same_way(loaded, word, said):
    with pytest.raises(PocketbenchError, match=said):
        with_options(loaded(""), "mnn", "w8", [word])


def test_calibration_asked_for_by_hand_goes_over_the_zoo_and_that_over_the_defaults(loaded, tmp_path):
    model = loaded(
        "[models.net.calibration]\n"
        'count = 32\nmethod = { onnxruntime = "kl", mnn = "ema" }\nfolder = "samples"\n'
    )
    nothing = CalibrationPlan()
    assert nothing.completed(model, "mnn", tmp_path) == CalibrationPlan(
        count=32, method="ema", folder=tmp_path / "samples"
    )
    assert nothing.completed(model, "ncnn", tmp_path).method is None
    by_hand = CalibrationPlan(count=4, method="admm")
    assert by_hand.completed(model, "mnn", tmp_path) == CalibrationPlan(
        count=4, method="admm", folder=tmp_path / "samples"
    )
    assert nothing.completed(loaded(""), "mnn", tmp_path) == nothing
    one = loaded('calibration = { method = "kl" }')
    assert {nothing.completed(one, runtime, tmp_path).method for runtime in OPTIONS} == {"kl"}


def test_a_session_converts_as_the_zoo_says():
    model = msgspec.structs.replace(
        load_zoo(SUITES / "zoo.toml")["ppocr_cls"],
        calibration=CalibrationSettings(count=2, method={"mnn": "ema"}),
        conversion={"mnn": {"int8": OPTIONS["mnn"]["int8"](feature_clamp=120)}},
    )
    cases = build_cases({"ppocr_cls": model}, Filters(runtimes=("mnn",), precisions=("int8",)))
    ready = make_ready(Cache(), model, SUITES, cases[0])
    options = ready.artifact.record.options
    assert options["asked"] == {"feature_clamp": 120}
    assert (options["calibration"]["method"], options["calibration"]["samples"]) == ("ema", 2)
