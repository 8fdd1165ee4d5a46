"""Which of a converted file's inputs and outputs are the model's, and what ncnn's files call theirs."""

import pytest

from harness.cache import Cache
from harness.convert.interface import Interface, Port, read_interface
from harness.convert.matching import Wanted, match_inputs, match_outputs
from harness.convert.param_text import inputs_of, outputs_of, read_layers, renamed
from harness.errors import PocketbenchError

PARAM = """\
7767517
4 4
Input            data   0 1 data 0=192 1=48 2=3
Convolution      conv   1 1 data in0 0=8
Split            split  1 2 in0 a b
Concat           cat    2 1 a b prob
"""


def wanted(name="x", shape=(1, 3, 8, 8), *others, dtype="float32"):
    return Wanted(names=(name, *others), shape=shape, dtype=dtype)


@pytest.mark.parametrize(
    ("ports", "named", "found"),
    [
        ([Port(name="x"), Port(name="im")], {}, ("x", "im")),
        ([Port(name="im"), Port(name="x2paddle_x")], {}, ("x2paddle_x", "im")),
        ([Port(name="b"), Port(name="a")], {"x": "a"}, ("a", "b")),
        ([Port(name="b", shape=(1, 2)), Port(name="a", shape=(1, None, 8, 8))], {}, ("a", "b")),
    ],
)
def test_inputs_are_found_by_the_zoos_word_by_name_alone_or_by_shape(ports, named, found):
    assert match_inputs([wanted(), wanted("im", (1, 2))], ports, named, hints=False) == found


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        (
            [Port(name="a"), Port(name="b")],
            r"which of the file's inputs is x .* it has inputs a \(of unknown",
        ),
        ([Port(name="x"), Port(name="im"), Port(name="sr")], r"nothing feeds the file's input sr"),
        ([Port(name="x")], r"which of the file's inputs is im"),
        (
            [Port(name="x", dtype="uint8"), Port(name="im")],
            r"the file's input is x \(uint8 .* says x \(float32",
        ),
        ([Port(name="x", shape=(1, 8, 8, 3)), Port(name="im")], r"input is x \(1x8x8x3\), the zoo says x"),
    ],
)
def test_inputs_that_cannot_be_told_or_do_not_fit_are_an_error_with_the_files_names(ports, said):
    with pytest.raises(PocketbenchError, match=said):
        match_inputs([wanted(), wanted("im", (1, 2))], ports, {}, hints=False)


def test_whole_numbers_may_be_narrower_in_the_file():
    ports = [Port(name="ids", shape=(1, 64), dtype="int32")]
    assert match_inputs([wanted("ids", (1, 64), dtype="int64")], ports, {}, hints=False) == ("ids",)


def test_of_ncnns_hints_only_the_channels_bind():
    assert match_inputs([wanted()], [Port(name="data", shape=(3, 227, 227))], {}, hints=True) == ("data",)
    with pytest.raises(PocketbenchError, match="the file's input is data"):
        match_inputs([wanted()], [Port(name="data", shape=(1, 8, 8))], {}, hints=True)


def test_outputs_are_taken_in_the_order_of_the_reference():
    heads = [wanted("boxes", (1, 4, 9)), wanted("scores", (1, 9))]
    ports = [Port(name="extra"), Port(name="scores"), Port(name="boxes")]

    assert match_outputs(heads, ports, ()) == ("boxes", "scores")
    assert match_outputs(heads, ports, ("extra", "boxes")) == ("extra", "boxes")
    with pytest.raises(PocketbenchError, match=r"say which with outputs = \["):
        match_outputs(heads, [Port(name="a"), Port(name="b")], ())
    with pytest.raises(PocketbenchError, match="outputs names 1 of the file's, the reference has 2"):
        match_outputs(heads, ports, ("boxes",))


def test_blobs_are_renamed_and_one_in_the_way_steps_aside():
    layers = read_layers(renamed(PARAM, {"data": "in0", "prob": "out0"}))

    assert [layer.gives for layer in layers] == [("in0",), ("in0_1",), ("a", "b"), ("out0",)]
    assert layers[1].takes == ("in0",)
    assert layers[2].takes == ("in0_1",)
    assert inputs_of(layers)["in0"].shape() == (3, 48, 192)
    assert outputs_of(layers) == ("out0",)
    assert layers[1].settings == ("0=8",)


def test_a_param_file_tells_its_inputs_and_outputs(tmp_path):
    path = tmp_path / "net.param"
    path.write_text(PARAM)

    assert read_interface(Cache(tmp_path), "ncnn", "", {"param": path}) == Interface(
        inputs=(Port(name="data", shape=(3, 48, 192)),), outputs=(Port(name="prob"),)
    )


def test_what_converters_number_is_taken_by_its_number():
    heads = [wanted(name, (1, 2, 9)) for name in ("first", "second", "third")]
    numbered = [Port(name="out2"), Port(name="out0"), Port(name="out1")]
    paddle = [Port(name=f"save_infer_model/scale_{n}.tmp_0") for n in range(3)]

    assert match_outputs(heads, numbered, ()) == ("out0", "out1", "out2")
    assert match_outputs(heads, paddle, ()) == tuple(port.name for port in paddle)
    with pytest.raises(PocketbenchError, match="which of the file's outputs is first"):
        match_outputs(heads, numbered[:2], ())
