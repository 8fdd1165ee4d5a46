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


CONVOLVED = """
net (float[10, 3, 8, 8] x) => (float[10, 1, 8, 8] y) <float[1, 3, 1, 1] w = {1, 2, 3}> { y = Conv(x, w) }
"""
MULTIPLIED = "net (float[1, 2] x) => (float[1, 1] y) <float[2, 1] w = {1, 1}> { y = MatMul(x, w) }"


@pytest.mark.parametrize(
    ("text", "shape", "said"),
    [
        (CONVOLVED, [1, 4, 8, 8], "Conv y takes 3 channels and is given 4"),
        (MULTIPLIED, [1, 3], "Incompatible dimensions for matrix multiplication"),
    ],
    ids=["channels", "features"],
)
def test_sizes_that_do_not_go_through_the_network_are_told_with_the_files(tools, tmp_path, text, shape, said):
    done, _ = tools.freeze(tools.parsed(text, tmp_path / "net.onnx"), [("x", shape, "float32")])

    assert done.returncode == 2
    fixed = text.partition("[")[2].partition("]")[0]
    assert f"'x' is float32 [{fixed}] in the file, and the zoo says {shape}: the network does" in done.stderr
    assert said in done.stderr


def test_sizes_that_a_file_was_only_traced_with_may_be_others(tools, tmp_path):
    net = tools.parsed(CONVOLVED, tmp_path / "net.onnx")
    frozen = tools.frozen(net, [("x", [1, 3, 16, 24], "float32")])

    assert frozen.report["outputs"][0]["shape"] == [1, 1, 16, 24]


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("my.own", "no runtime here knows: my.own has Fold (1), Turn (2). Export it without them"),
        ("com.microsoft", "cannot be told: com.microsoft has Fold (1), Turn (2)"),
    ],
)
def test_operators_that_are_not_onnxs_own_are_named_and_counted(tools, tmp_path, domain, said):
    nodes = f"a = {domain}.Turn(x) b = {domain}.Fold(a) y = {domain}.Turn(b)"
    text = f"net (float[1, 4] x) => (float[1, 4] y) {{ {nodes} }}"
    model = tools.parsed(text, tmp_path / "net.onnx", domains=(domain,))

    done, _ = tools.freeze(model, [("x", [1, 4], "float32")])

    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


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
