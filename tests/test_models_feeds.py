"""Feeds: of the declared form, the same every time, and errors that name the model.

What the networks make of them is in test_freeze_zoo.py, where there is a runtime to ask.
"""

import json

import numpy as np
import pytest
from PIL import Image

from harness.errors import PocketbenchError
from harness.models.feeds import KINDS, NEEDS_SOURCE, make_feed
from harness.models.feeds.sound import CHUNK, CHUNKS, CONTEXT, MEASURED_CHUNK, utterance, windows
from harness.models.feeds.text import IMAGENET_MEAN, IMAGENET_STD, line_text
from harness.spec import Model, TensorSpec


def model(feed, *inputs):
    return Model(
        name="net",
        source="file:net.onnx",
        sha256="a" * 64,
        feed=feed,
        inputs=tuple(TensorSpec(name=name, shape=shape) for name, shape in inputs),
    )


@pytest.fixture
def picture(tmp_path):
    """An orange picture, wider than high."""
    Image.new("RGB", (90, 60), (250, 120, 20)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@pytest.fixture
def recorded(tmp_path):
    np.savez(tmp_path / "feed.npz", x=np.full((1, 3, 64, 96), 0.5, np.float32))
    return tmp_path / "feed.npz"


@pytest.fixture
def text(tmp_path):
    (tmp_path / "tokens.json").write_text(json.dumps(list(range(100))))
    return tmp_path / "tokens.json"


@pytest.fixture
def material(picture, recorded, text):
    """The file each kind of feed is made from."""
    return {"photo": picture, "letterbox": picture, "arrays": recorded, "tokens": text}


HEARD = [-7141, -4366, -1164, -1771, 2668, 5216, 3713, -931]
IMAGE = ("x", (1, 3, 64, 96))
INPUTS = dict.fromkeys(KINDS, (IMAGE,)) | {"speech": (("input", (1, 576)), ("state", (2, 1, 128)))}
INPUTS["tokens"] = (("input_ids", (1, 16)),)


@pytest.mark.parametrize("kind", KINDS)
def test_a_feed_has_the_declared_form_and_is_the_same_every_time(kind, material):
    wanted = model(kind, *INPUTS[kind])

    first = make_feed(wanted, material.get(kind))
    second = make_feed(wanted, material.get(kind))

    assert [(name, array.shape) for name, array in first.items()] == list(INPUTS[kind])
    for name, array in first.items():
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
        assert array.tobytes() == second[name].tobytes()


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"arrays", "photo"}))
def test_another_seed_gives_another_feed_of_the_same_kind(kind, material):
    wanted = model(kind, *INPUTS[kind])
    name = wanted.inputs[0].name

    feeds = [make_feed(wanted, material.get(kind), seed=seed)[name].tobytes() for seed in range(4)]

    assert len(set(feeds)) == 4


def test_a_page_is_light_paper_with_dark_words_in_imagenet_scale():
    feed = make_feed(model("text_page", ("x", (1, 3, 320, 320))))["x"][0]

    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    pixels = feed * std.reshape(3, 1, 1) + mean.reshape(3, 1, 1)
    assert pixels.min() >= -1e-6
    assert pixels.max() <= 1 + 1e-6
    assert np.median(pixels) > 0.7
    assert 0.01 < (pixels < 0.4).all(axis=0).mean() < 0.2


def test_a_line_fills_its_height_and_is_padded_with_zeros():
    feed = make_feed(model("text_line", ("x", (1, 3, 48, 320))))["x"][0]

    assert np.abs(feed).max() <= 1
    assert (feed[:, :, -1] == 0).all()
    assert (feed[:, :, 0] > 0.3).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_line_says_words_that_fit_it(seed):
    assert 0 < len(line_text((192, 48), seed)) < len(line_text((640, 48), seed))


def test_a_photo_keeps_red_green_blue_in_0_to_255(picture):
    feed = make_feed(model("photo", ("x", (1, 3, 32, 32))), picture)["x"]

    assert feed[0, :, 16, 16].tolist() == [250, 120, 20]


def test_a_letterboxed_photo_is_bgr_in_the_upper_left_and_grey_below(picture):
    feed = make_feed(model("letterbox", ("x", (1, 3, 90, 90))), picture)["x"]

    assert feed[0, :, 2, 2].tolist() == [20, 120, 250]
    assert (feed[0, :, 60:, :] == 114).all()


def test_the_utterance_is_the_same_on_every_machine():
    samples = utterance(0) * 32768

    assert len(samples) == CHUNKS * CHUNK
    # One step of 16 bits is what different mathematical libraries may differ by.
    assert samples[MEASURED_CHUNK * CHUNK :: 64][:8] == pytest.approx(HEARD, abs=1)


def test_the_measured_chunk_is_the_window_a_stream_would_have_there():
    feed = make_feed(model("speech", *INPUTS["speech"]))

    window = windows(0)[MEASURED_CHUNK]
    assert window.shape == (CONTEXT + CHUNK,)
    assert np.array_equal(feed["input"][0], window)
    assert 0.05 < np.abs(feed["input"]).max() <= 1
    assert np.abs(feed["state"]).max() > 0.1


def test_a_memory_of_another_form_starts_empty():
    feed = make_feed(model("speech", ("pcm", (1, 512)), ("h", (1, 1, 64))))

    assert not feed["h"].any()


def test_recorded_arrays_are_given_as_they_are(recorded):
    feed = make_feed(model("arrays", IMAGE), recorded)

    assert (feed["x"] == 0.5).all()


@pytest.mark.parametrize("kind", sorted(NEEDS_SOURCE))
def test_a_feed_without_its_file_says_what_the_zoo_lacks(kind):
    with pytest.raises(PocketbenchError, match=r"model net: .* give feed_source and feed_sha256"):
        make_feed(model(kind, IMAGE))


@pytest.mark.parametrize("kind", sorted(NEEDS_SOURCE))
def test_a_file_that_is_not_what_the_feed_needs_is_named(kind, tmp_path):
    (tmp_path / "broken").write_bytes(b"neither a picture nor arrays")

    with pytest.raises(PocketbenchError, match=r"model net: .*broken is not"):
        make_feed(model(kind, IMAGE), tmp_path / "broken")


def test_an_unknown_kind_lists_the_nearest():
    with pytest.raises(PocketbenchError, match=r"unknown feed 'text' in model net.*Known: .*text_page"):
        make_feed(model("text", IMAGE))


@pytest.mark.parametrize(
    ("kind", "inputs", "said"),
    [
        (
            "text_page",
            [("x", (1, 1, 64, 64))],
            "one float32 input of shape 1x3xHxW, not for x float32 1x1x64x64",
        ),
        ("text_line", [IMAGE, ("y", (1,))], "one float32 input of shape 1x3xHxW"),
        ("speech", [("x", (1, 3, 64, 64))], "a first input of shape 1xN"),
        ("speech", [("x", (1, 10**6))], "N up to"),
    ],
)
def test_a_model_of_another_form_than_the_feed_is_told_which_form_it_needs(kind, inputs, said):
    with pytest.raises(PocketbenchError, match=f"model net: .*{said}"):
        make_feed(model(kind, *inputs))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([("y", (1, 3, 64, 96))], "makes x, but the zoo declares the inputs y"),
        ([("x", (1, 3, 64, 64))], "makes x as float32 1x3x64x96, but the zoo declares float32 1x3x64x64"),
    ],
)
def test_a_feed_that_does_not_fit_the_declared_inputs_names_both(inputs, said, recorded):
    with pytest.raises(PocketbenchError, match=said):
        make_feed(model("arrays", *inputs), recorded)
