"""Freezing the models of the zoo: what is written computes what the original does, and that is right.

The script runs as it does in use, in an environment of its own; onnxruntime is there too, as the judge.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from harness.models.feeds import make_feed
from harness.models.feeds.sound import MEASURED_CHUNK, STATE, windows
from harness.models.feeds.text import line_text
from harness.models.sources import fetch
from harness.models.zoo import load_zoo

pytest_plugins = ["peers.freezing"]

SUITES = Path(__file__).parent.parent / "suites"
ZOO = load_zoo(SUITES / "zoo.toml")
MEASURED = [name for name, model in ZOO.items() if model.default]

# What the classes of PP-OCR's recogniser stand for; the first is CTC's blank.
CHARACTERS = """
import sys, onnx
print({entry.key: entry.value for entry in onnx.load(sys.argv[1]).metadata_props}["character"])
"""

# The memory of a voice detector after the windows in an .npz, and what it said on the way.
STREAM = """
import sys, numpy as np, onnxruntime
_, model, feeds, results = sys.argv
session = onnxruntime.InferenceSession(model)
state, heard = np.zeros((2, 1, 128), np.float32), []
for window in np.load(feeds)["windows"]:
    output, state = session.run(["output", "stateN"], {"input": window[None], "state": state})
    heard.append(output[0, 0])
np.savez(results, state=state, heard=heard)
"""


@pytest.fixture(scope="session")
def of_the_zoo(tools, sources, tmp_path_factory):
    """Freezes a model of the zoo, once; gives it with its feed."""
    done = {}

    def freeze(name):
        if name not in done:
            model = ZOO[name]
            path = tmp_path_factory.mktemp(name) / "model.onnx"
            path.symlink_to(fetch(sources, model.source, model.sha256, base=SUITES))
            photo = model.feed_source and fetch(sources, model.feed_source, model.feed_sha256, base=SUITES)
            inputs = [(t.name, t.shape, t.dtype) for t in model.inputs]
            done[name] = tools.frozen(path, inputs, model.constants), make_feed(model, photo)
        return done[name]

    return freeze


@pytest.mark.parametrize("name", MEASURED)
def test_a_frozen_model_of_the_zoo_computes_what_the_original_does_on_its_feed(name, tools, of_the_zoo):
    frozen, feed = of_the_zoo(name)

    for reference, small in tools.run_both(frozen, feed):
        assert small.shape == reference.shape
        assert np.abs(small - reference).max() < 1e-5 * np.abs(reference).max()


@pytest.mark.parametrize("name", MEASURED)
def test_a_frozen_model_of_the_zoo_is_plain_enough_for_every_converter(name, of_the_zoo):
    report = of_the_zoo(name)[0].report

    assert 4 <= report["ir_version"] <= 10
    assert not {"If", "Loop", "Shape", "Identity", "Constant", "BatchNormalization"} & report["ops"].keys()
    for tensor in [*report["inputs"], *report["outputs"]]:
        assert re.fullmatch(r"\w+", tensor["name"], re.ASCII)
        assert all(isinstance(size, int) and size > 0 for size in tensor["shape"])
    assert [t["original"] for t in report["inputs"]] == [t.name for t in ZOO[name].inputs]


def test_attention_is_not_fused_into_gemm_which_pnnx_would_not_recognise(of_the_zoo):
    ops = of_the_zoo("ppocr_rec")[0].report["ops"]

    assert "Gemm" not in ops
    assert ops["MatMul"] == 13


def test_the_text_detector_finds_the_words_of_the_page(tools, of_the_zoo):
    frozen, feed = of_the_zoo("ppocr_det")

    ((found, _),) = tools.run_both(frozen, feed)

    assert found.max() > 0.99
    assert 0.05 < (found > 0.3).mean() < 0.2


def test_the_recogniser_reads_what_the_line_says(tools, of_the_zoo):
    frozen, feed = of_the_zoo("ppocr_rec")
    characters = ["", *tools.python("-c", CHARACTERS, frozen.shaped).stdout.splitlines(), " "]

    ((scores, _),) = tools.run_both(frozen, feed)

    best = scores[0].argmax(axis=1)
    heard = [c for n, c in enumerate(best) if n == 0 or c != best[n - 1]]
    assert "".join(characters[c] for c in heard) == line_text((320, 48), 0)


def test_the_classifier_sees_that_the_line_is_upright(tools, of_the_zoo):
    frozen, feed = of_the_zoo("ppocr_cls")

    ((upright, _),) = tools.run_both(frozen, feed)

    assert upright[0, 0] > 0.99


def test_the_face_detector_finds_the_face_of_the_photograph(tools, of_the_zoo):
    frozen, feed = of_the_zoo("centerface")

    heat = tools.run_both(frozen, feed)[0][0]

    assert heat.max() > 0.8
    assert (heat > 0.5).mean() < 0.01


def test_the_voice_detector_hears_speech_and_remembers_what_the_stored_state_says(tools, of_the_zoo):
    frozen, feed = of_the_zoo("silero_vad")
    feeds, results = frozen.shaped.with_name("windows.npz"), frozen.shaped.with_name("heard.npz")
    np.savez(feeds, windows=windows(0)[:MEASURED_CHUNK])

    done = tools.python("-c", STREAM, frozen.shaped, feeds, results, path=tools.onnxruntime)
    assert done.returncode == 0, done.stderr

    with np.load(results) as given:
        assert np.allclose(np.load(STATE), given["state"], atol=1e-4)
        assert (given["heard"] > 0.5).mean() > 0.8
    assert tools.run(frozen.shaped, feed)["output"][0, 0] > 0.5
