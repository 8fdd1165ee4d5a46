"""Freezing: what is written for converters computes what the original does; what cannot be frozen is told.

The script runs as it does in use, in an environment of its own; onnxruntime is there too, as the judge.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from harness.models.sources import fetch
from harness.models.zoo import load_zoo

pytest_plugins = ["peers.freezing"]

SUITES = Path(__file__).parent.parent / "suites"
ZOO = load_zoo(SUITES / "zoo.toml")


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


def test_a_truncated_model_is_told_on_one_line(tools, tmp_path, sources):
    whole = ZOO["ppocr_cls"]
    model = tmp_path / "net.onnx"
    model.write_bytes(fetch(sources, whole.source, whole.sha256, base=SUITES).read_bytes()[:100_000])

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
