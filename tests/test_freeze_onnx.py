"""Freezing: what is written for converters computes what the original does; what cannot be frozen is told.

The script runs as it does in use, in an environment of its own; onnxruntime is there too, as the judge.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import uv

from harness.cache import Cache
from harness.models.feeds import make_feed
from harness.models.feeds.sound import MEASURED_CHUNK, STATE, windows
from harness.models.feeds.text import line_text
from harness.models.sources import fetch
from harness.models.zoo import load_zoo
from harness.toolchains import ONNX, TOOLS

SUITES = Path(__file__).parent.parent / "suites"
ZOO = load_zoo(SUITES / "zoo.toml")
MEASURED = [name for name, model in ZOO.items() if model.default]

# Runs request["model"] on each of the feeds in an .npz of (name, number) arrays; writes the outputs likewise.
RUN = """
import sys, numpy as np, onnxruntime
_, model, feeds, results = sys.argv
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options)
outputs = session.run(None, dict(np.load(feeds)))
np.savez(results, **{o.name: array for o, array in zip(session.get_outputs(), outputs)})
"""

PARSE = """
import sys, onnx
onnx.save(onnx.parser.parse_model(sys.stdin.read()), sys.argv[1])
"""


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


class Frozen(NamedTuple):
    """What one freezing gave."""

    shaped: Path
    frozen: Path
    report: dict


class Tools(NamedTuple):
    """The environments of the script and of its judge, and things to do in them."""

    onnx: Path
    onnxruntime: Path

    def python(self, *argv, path=None, stdin=None):
        env = {**os.environ, "PYTHONPATH": str(path or self.onnx), "ORT_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, *map(str, argv)]
        return subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, check=False)

    def parsed(self, text, path):
        done = self.python("-c", PARSE, path, stdin=f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
        assert done.returncode == 0, done.stderr
        return path

    def freeze(self, model, inputs, constants=None):
        """The finished process and the request's directory."""
        out = model.parent / "out"
        out.mkdir(exist_ok=True)
        request = {
            "model": str(model),
            "inputs": [{"name": n, "shape": s, "dtype": d} for n, s, d in inputs],
            "constants": constants or {},
            "shaped": str(out / "shaped.onnx"),
            "frozen": str(out / "frozen.onnx"),
            "report": str(out / "report.json"),
        }
        (out / "request.json").write_text(json.dumps(request))
        return self.python(TOOLS / "freeze_onnx.py", out / "request.json"), out

    def frozen(self, model, inputs, constants=None):
        done, out = self.freeze(model, inputs, constants)
        assert done.returncode == 0, done.stderr
        report = json.loads((out / "report.json").read_text())
        return Frozen(out / "shaped.onnx", out / "frozen.onnx", report)

    def run(self, model, feed):
        """Outputs of onnxruntime, by name in the graph's order."""
        feeds, results = model.with_suffix(".feed.npz"), model.with_suffix(".results.npz")
        np.savez(feeds, **feed)
        done = self.python("-c", RUN, model, feeds, results, path=self.onnxruntime)
        assert done.returncode == 0, done.stderr
        with np.load(results) as stored:
            return {name: stored[name] for name in stored.files}

    def run_both(self, frozen, feed):
        """Pairs of outputs, shaped and frozen, of one feed under its original names."""
        renamed = {tensor["name"]: feed[tensor["original"]] for tensor in frozen.report["inputs"]}
        shaped, small = self.run(frozen.shaped, feed), self.run(frozen.frozen, renamed)
        return [(shaped[o["original"]], small[o["name"]]) for o in frozen.report["outputs"]]


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    def installed(name, *requirements):
        path = tmp_path_factory.mktemp(name)
        command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
        subprocess.run([*command, "--target", path, *requirements], cwd=path.anchor, check=True)
        return path

    judge = ("onnxruntime==1.32.0", "flatbuffers==25.12.19")
    shared = [one for one in ONNX.requirements if one.startswith(("numpy", "protobuf", "packaging"))]
    return Tools(installed("onnx", *ONNX.requirements), installed("onnxruntime", *judge, *shared))


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def of_the_zoo(tools, cache, tmp_path_factory):
    """Freezes a model of the zoo, once; gives it with its feed."""
    done = {}

    def freeze(name):
        if name not in done:
            model = ZOO[name]
            path = tmp_path_factory.mktemp(name) / "model.onnx"
            path.symlink_to(fetch(cache, model.source, model.sha256, base=SUITES))
            photo = model.feed_source and fetch(cache, model.feed_source, model.feed_sha256, base=SUITES)
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "net.onnx is not an ONNX model: it holds no network"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "net.onnx is not a"),
        (b"\x08\x08\x12\x00" + b"\xff" * 100, "net.onnx is not a readable ONNX model"),
    ],
)
def test_a_corrupt_file_is_told_on_one_line(tools, tmp_path, content, said):
    model = tmp_path / "net.onnx"
    model.write_bytes(content)

    done, _ = tools.freeze(model, [("x", [1], "float32")])

    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_truncated_model_is_told_on_one_line(tools, tmp_path, cache):
    whole = ZOO["ppocr_cls"]
    model = tmp_path / "net.onnx"
    model.write_bytes(fetch(cache, whole.source, whole.sha256, base=SUITES).read_bytes()[:100_000])

    done, _ = tools.freeze(model, [("x", [1, 3, 48, 192], "float32")])

    assert done.returncode == 2
    assert "net.onnx is not a readable ONNX model" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("inputs", "constants", "said"),
    [
        ([("y", [1, 4], "float32")], {}, "no input 'y'; its inputs are x float32 [n, 4], k int64 []"),
        ([("x", [1, 4], "float32")], {}, "input 'k' is given neither a shape nor a value"),
        ([("x", [1, 4], "int64")], {"k": 1}, "'x' is float32 [n, 4]; int64 [1, 4] does not fit it"),
        ([("x", [1, 4, 1], "float32")], {"k": 1}, "float32 [1, 4, 1] does not fit it"),
    ],
)
def test_a_request_that_does_not_fit_the_model_is_told_what_does(tools, tmp_path, inputs, constants, said):
    text = "net (float[n, 4] x, int64 k) => (float[n, 4] y) { f = Cast <to = 1> (k) y = Mul(x, f) }"
    model = tools.parsed(text, tmp_path / "net.onnx")

    done, _ = tools.freeze(model, inputs, constants)

    assert done.returncode == 2
    assert said in done.stderr


BRANCHES = """
net (float[n, 4] x, int64 rate) => (float[n, 4] y, float[n, 4] z)
<int64 eight = {8}, int64 nine = {9}> {
    slow = Equal(rate, eight)
    other = Equal(rate, nine)
    h = Relu(x)
    y, z = If (slow) <
        then_branch = low () => (float[n, 4] t, float[n, 4] t2) { t = Neg(h) t2 = Identity(x) },
        else_branch = high () => (float[n, 4] h2, float[n, 4] v) {
            h2 = Mul(h, h)
            v = If (other) <
                then_branch = nine_graph () => (float[n, 4] q) { q = Exp(h2) },
                else_branch = else_graph () => (float[n, 4] q) { q = Add(h2, x) }
            >
        }
    >
}
"""


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (8, lambda x: (-np.maximum(x, 0), x)),
        (9, lambda x: (np.maximum(x, 0) ** 2, np.exp(np.maximum(x, 0) ** 2))),
        (16, lambda x: (np.maximum(x, 0) ** 2, np.maximum(x, 0) ** 2 + x)),
    ],
)
def test_a_branch_decided_by_a_constant_takes_its_ifs_place(tools, tmp_path, rate, expected):
    model = tools.parsed(BRANCHES, tmp_path / "net.onnx")
    frozen = tools.frozen(model, [("x", [1, 4], "float32")], {"rate": rate})
    x = np.array([[-1.0, 0.0, 0.5, 2.0]], np.float32)

    assert "If" not in frozen.report["ops"]
    for (reference, small), right in zip(tools.run_both(frozen, {"x": x}), expected(x), strict=True):
        assert np.allclose(reference, right, rtol=1e-6)
        assert np.allclose(small, right, rtol=1e-6)


def test_a_branch_decided_by_the_data_stays(tools, tmp_path):
    text = """net (float[4] x) => (float[4] y) <float zero = {0}> {
        s = ReduceSum <keepdims = 0> (x)
        c = Greater(s, zero)
        y = If (c) <
            then_branch = g1 () => (float[4] t) { t = Neg(x) },
            else_branch = g2 () => (float[4] e) { e = Relu(x) }
        >
    }"""
    frozen = tools.frozen(tools.parsed(text, tmp_path / "net.onnx"), [("x", [4], "float32")])
    x = np.array([-1.0, -2.0, 3.0, -4.0], np.float32)

    assert frozen.report["ops"]["If"] == 1
    for sign in (1, -1):
        ((reference, small),) = tools.run_both(frozen, {"x": sign * x})
        assert np.array_equal(reference, small)


def test_names_become_words_and_stay_unique(tools, tmp_path):
    build = """
import sys, onnx
from onnx import helper as h
f = lambda name: h.make_tensor_value_info(name, 1, ["n", 4])
nodes = [h.make_node("Exp", ["x.0"], ["a.b"]), h.make_node("Tanh", ["x.0"], ["a/b"], name="n@1"),
         h.make_node("Add", ["a.b", "a/b"], ["a_b"], name="n_1"), h.make_node("Sin", ["a_b"], ["out:0"])]
graph = h.make_graph(nodes, "g", [f("x.0")], [f("a_b"), f("out:0")])
onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=11), sys.argv[1])
"""
    listing = """
import json, sys, onnx
nodes = onnx.load(sys.argv[1]).graph.node
print(json.dumps([[node.name for node in nodes], [name for node in nodes for name in node.output]]))
"""
    model = tmp_path / "net.onnx"
    assert tools.python("-c", build, model).returncode == 0

    frozen = tools.frozen(model, [("x.0", [2, 4], "float32")])

    assert [(t["original"], t["name"]) for t in frozen.report["inputs"]] == [("x.0", "x_0")]
    assert [(t["original"], t["name"]) for t in frozen.report["outputs"]] == [
        ("a_b", "a_b"),
        ("out:0", "out_0"),
    ]
    assert frozen.report["outputs"][0]["shape"] == [2, 4]
    assert frozen.report["ir_version"] == 10
    for names in json.loads(tools.python("-c", listing, frozen.frozen).stdout):
        assert len(names) == len(set(names)) == 4
        assert all(re.fullmatch(r"\w+", name) for name in names)
    for reference, small in tools.run_both(frozen, {"x.0": np.ones((2, 4), np.float32)}):
        assert np.allclose(reference, small)


def test_an_input_that_simplifying_makes_useless_is_kept(tools, tmp_path):
    text = """net (float[n, 4] x, float[n, 4] unused) => (float[n, 4] y) <float zero = {0}> {
        y = Relu(x)
    }"""
    model = tools.parsed(text, tmp_path / "net.onnx")

    frozen = tools.frozen(model, [("x", [1, 4], "float32"), ("unused", [1, 4], "float32")])

    assert [tensor["name"] for tensor in frozen.report["inputs"]] == ["x", "unused"]
