"""Options of conversions: each one shows in what the converter writes, and is recorded."""

import json
import subprocess

import msgspec
import numpy as np
import pytest

from harness.convert import Format, artifact_key, make_artifact
from harness.convert.calibration import Calibration
from harness.convert.mnn import _toolchain as mnn_toolchain
from harness.environments import environment
from harness.errors import PocketbenchError, UnsupportedError
from harness.runtimes import RUNTIMES
from harness.spec.conversion import OPTIONS
from harness.toolchains import ONNX, TOOLS, run_tool

pytest_plugins = ["networks"]

NETWORK = """
net (float[1, 64, 4, 4] x) => (float[1, 8] y) <int64[2] flat = {1, 64}> {
    a = Conv (x, wide)
    b = Relu(a)
    c = Conv <pads = [1, 1, 1, 1], group = 64> (b, alone)
    d = Relu(c)
    e = GlobalAveragePool(d)
    f = Reshape(e, flat)
    g = MatMul(f, first)
    h = Relu(g)
    y = MatMul(h, last)
}
"""
FUSED = """
net (float[1, 64] x) => (float[1, 8] y) {
    a = MatMul(x, first) b = Add(a, near) c = Relu(b) d = MatMul(c, last) y = Add(d, far)
}
"""
KEPT = "MatMulNBits"
NAMES = """
import sys, onnx
model = onnx.load(sys.argv[1])
for node in model.graph.node:
    node.name = f"{node.op_type}_{node.output[0]}"
onnx.save(model, sys.argv[1])
"""
# What tests ask of a graph: its nodes, and type and values of its weights.
INSPECT = """
import json, sys, onnx
from onnx import helper, numpy_helper
graph = onnx.load(sys.argv[1]).graph
nodes = [
    [node.op_type, node.name, len(node.input),
     {one.name: helper.get_attribute_value(one) for one in node.attribute if one.type == one.INT}]
    for node in graph.node
]
weights = {}
for one in graph.initializer:
    array = numpy_helper.to_array(one)
    weights[one.name] = [str(array.dtype), list(array.shape), array.astype(float).ravel().tolist()]
print(json.dumps([nodes, weights]))
"""


@pytest.fixture(scope="module")
def net(cache, network):
    """A wide convolution, a depthwise one, two products of matrices; nodes are named by what they write."""
    draw = np.random.default_rng(2).normal
    shapes = {"wide": (64, 64, 1, 1), "alone": (64, 1, 3, 3), "first": (64, 64), "last": (64, 8)}
    weights = {name: draw(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return named(cache, network(NETWORK, {"x": (1, 64, 4, 4)}, weights=weights))


@pytest.fixture(scope="module")
def fused(cache, network):
    """Two products, each with an addition behind it, of which onnxruntime makes one operator."""
    draw = np.random.default_rng(2).normal
    shapes = {"first": (64, 64), "near": (64,), "last": (64, 8), "far": (8,)}
    weights = {name: draw(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return named(cache, network(FUSED, {"x": (1, 64)}, weights=weights))


def named(cache, model):
    tools = environment(cache, ONNX)
    subprocess.run(tools.command("-c", NAMES, str(model.frozen)), env=tools.variables(), check=True)
    return model


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return samples(tmp_path_factory.mktemp("samples"), (1, 64, 4, 4))


def samples(folder, shape):
    draw = np.random.default_rng(3).normal
    for number in range(3):
        np.savez(folder / f"{number}.npz", x=draw(size=shape).astype(np.float32))
    files = tuple(sorted(file.name for file in folder.iterdir()))
    return Calibration(path=folder, files=files, digest="samples")


def form(runtime, precision, **options):
    asked = OPTIONS[runtime][precision](**options)
    arm = {"backend": "mobile", "arch": "aarch64"} if runtime == "paddlelite" else {}
    version = RUNTIMES[runtime].default_version
    return Format(runtime=runtime, version=version, precision=precision, options=asked, **arm)


@pytest.fixture(scope="module")
def made(cache, net, shown):
    """Converts the network with options; int8 by `method`, the runtime's default when None."""

    def make(runtime, precision, method=None, **options):
        calibration = msgspec.structs.replace(shown, method=method) if precision == "int8" else None
        return make_artifact(cache, net, form(runtime, precision, **options), calibration)

    return make


@pytest.fixture(scope="module")
def layers(cache, made, tmp_path_factory):
    """Convolutions of an MNN artifact by name, as MNN's converter tells them."""

    def read(*asked, **options):
        target = tmp_path_factory.mktemp("mnn") / "model.json"
        tools = environment(cache, mnn_toolchain(RUNTIMES["mnn"].default_version))
        model = made("mnn", *asked, **options).path / "model.mnn"
        arguments = ["-f", "MNN", "--modelFile", str(model), "--JsonFile", str(target)]
        command = tools.command(str(TOOLS / "mnn_convert.py"), *arguments)
        run_tool("mnnconvert", command, cwd=target.parent, env=tools.variables())
        operators = json.loads(target.read_text())["oplists"]
        return {one["name"]: one["main"] for one in operators if one["type"].startswith("Convolution")}

    return read


@pytest.fixture(scope="module")
def graph(cache, made):
    """Nodes and weights of an onnxruntime artifact; no operator stays in fp32 for the sake of the outputs."""

    def read(*asked, **options):
        if asked[0] == "int8":
            options["target_db"] = 0
        return inspected(cache, made("onnxruntime", *asked, **options))

    return read


def inspected(cache, artifact):
    tools = environment(cache, ONNX)
    command = tools.command("-c", INSPECT, str(artifact.path / "model.onnx"))
    done = subprocess.run(command, env=tools.variables(), capture_output=True, check=True)
    nodes, weights = json.loads(done.stdout)
    return [tuple(node) for node in nodes], weights


def kinds(nodes):
    return [node[0] for node in nodes]


def steps(layer):
    """How many numbers say the steps of a layer, and whether its weights have an offset."""
    stored = layer["quanParameter"]
    return len(stored["alpha"]), stored["aMin"] != 0


@pytest.mark.parametrize(
    ("precision", "options", "stored"),
    [
        ("w8", {}, (64 * 2 * 2, True)),
        ("w8", {"block": 16}, (64 * 4 * 2, True)),
        ("w8", {"block": 0}, (64 * 2, True)),
        ("w8", {"symmetric": True, "hqq": False}, (64 * 2, False)),
        ("w4", {}, (64 * 4 * 2, True)),
        ("w4", {"block": 64}, (64 * 2, True)),
    ],
)
def test_mnn_stores_a_step_for_each_block_and_an_offset_unless_symmetric(layers, precision, options, stored):
    assert steps(layers(precision, **options)["a"]) == stored


def test_mnns_half_quadratic_steps_are_others_than_those_by_the_largest_weight(layers):
    fitted, plain = (layers("w4", hqq=hqq)["a"]["quanParameter"]["alpha"] for hqq in (True, False))
    assert len(fitted) == len(plain)
    assert fitted != plain


def test_what_is_left_out_of_mnns_int8_keeps_its_weights_and_the_rest_is_as_asked(layers):
    usual = layers("int8", "kl")
    asked = layers("int8", "kl", leave_out=("c",), weight_method="admm", feature_clamp=60)
    assert usual["c"]["quanParameter"] is not None
    assert asked["c"].get("quanParameter") is None
    before, after = usual["a"]["quanParameter"], asked["a"]["quanParameter"]
    assert after["alpha"] != before["alpha"]
    assert after["scaleIn"] > before["scaleIn"]


def test_onnxruntime_keeps_kinds_of_operators_and_single_nodes_in_float(graph):
    usual, stored = graph("fp16")
    assert kinds(usual).count("Cast") == 2
    assert {dtype for dtype, _, _ in stored.values()} <= {"float16", "int64"}
    asked, stored = graph("fp16", float_operators=("GlobalAveragePool",), leave_out=("MatMul_y",))
    assert stored["last"][0] == "float32"
    assert stored["first"][0] == "float16"
    # To float before the average and before the last product, to half floats behind the average.
    assert kinds(asked).count("Cast") > kinds(usual).count("Cast") + 1


def test_onnxruntime_stores_matmuls_as_asked(graph):
    def products(nodes):
        return [
            (n, at["block_size"], at.get("accuracy_level", 0)) for kind, _, n, at in nodes if kind == KEPT
        ]

    usual, _ = graph("w8")
    assert products(usual) == [(4, 32, 0)] * 2
    options = {"block": 16, "symmetric": True, "accuracy_level": 4, "leave_out": ("MatMul_y",)}
    asked, stored = graph("w8", **options)
    assert products(asked) == [(3, 16, 4)], "without the offsets"
    assert stored["last"][0] == "float32"


def test_onnxruntimes_static_int8_is_as_asked(graph):
    _, usual = graph("int8")
    nodes, asked = graph(
        "int8",
        per_channel=False,
        activations="int8",
        symmetric=True,
        reduce_range=True,
        depthwise=True,
        leave_out=("MatMul_y",),
    )
    assert usual["wide_quantized"][0] == "int8"
    assert usual["wide_scale"][1] == [64]
    assert usual["x_zero_point"][0] == "uint8"
    assert "alone_quantized" not in usual
    assert max(map(abs, usual["wide_quantized"][2])) == 127
    assert max(map(abs, asked["wide_quantized"][2])) <= 64
    assert asked["wide_scale"][1] == []
    assert (asked["x_zero_point"][0], asked["x_zero_point"][2]) == ("int8", [0.0])
    assert "alone_quantized" in asked
    assert asked["last"][0] == "float32"
    assert "MatMul" in kinds(nodes)


def test_only_the_operators_that_are_asked_for_are_quantized(graph):
    _, stored = graph("int8", operators=("MatMul",), weights="uint8")
    assert stored["wide"][0] == "float32"
    assert stored["first_quantized"][0] == "uint8"


def test_a_node_that_onnxruntime_would_fuse_is_left_out_by_its_name_in_the_frozen_onnx(
    cache, fused, tmp_path
):
    shown = samples(tmp_path, (1, 64))
    whole, asked = (
        make_artifact(cache, fused, form("onnxruntime", "int8", target_db=0, leave_out=names), shown)
        for names in ((), ("MatMul_a",))
    )
    assert kinds(inspected(cache, whole)[0]).count("Gemm") == 2
    nodes, stored = inspected(cache, asked)
    assert stored["first"][0] == "float32"
    assert "last" not in stored
    assert "MatMul_a" in [name for _, name, _, _ in nodes]
    assert asked.record.options["left_in_fp32"] == {"MatMul": 1}
    searched = make_artifact(cache, fused, form("onnxruntime", "int8", target_db=60), shown)
    assert searched.record.options["worst_operators"] in (["MatMul_a"], ["MatMul_d"])
    everything = form("onnxruntime", "int8", leave_out=("MatMul_a", "MatMul_d"))
    with pytest.raises(UnsupportedError, match=r"finds nothing .* left out: MatMul_a, MatMul_d"):
        make_artifact(cache, fused, everything, shown)


def test_a_matmul_that_is_left_out_counts_among_what_is_in_fp32(made):
    found = made("onnxruntime", "w8", leave_out=("MatMul_y",)).record.options
    assert found["left_in_fp32"] == {"Conv": 2, "MatMul": 1}
    with pytest.raises(UnsupportedError, match="no MatMul of tiny to quantize; left out: MatMul_g, MatMul_y"):
        made("onnxruntime", "w8", leave_out=("MatMul_g", "MatMul_y"))


def test_a_lower_percentile_cuts_more_off(graph, made):
    (_, usual), (_, asked) = graph("int8", "percentile"), graph("int8", "percentile", percentile=90)
    assert asked["x_scale"][2] < usual["x_scale"][2]
    found = [made("ncnn", "int8", percentile=share) for share in (99.999, 90)]
    assert found[0].digest != found[1].digest


def test_layers_of_ncnn_that_are_left_out_stay_in_fp32(made):
    usual = made("ncnn", "int8").record.options
    assert usual["int8"]["Convolution"] == 1
    asked = made("ncnn", "int8", leave_out=("convrelu_0",)).record.options
    assert "Convolution" not in asked["int8"]
    assert asked["left_in_fp32"]["Convolution"] == 1


def test_paddle_lite_quantizes_the_operators_and_channels_as_asked(made):
    usual = made("paddlelite", "int8")
    more = made("paddlelite", "int8", operators=("conv2d", "depthwise_conv2d"))
    assert usual.record.size_bytes - more.record.size_bytes > 64 * 9, "weights in 8 bits"
    assert made("paddlelite", "int8", per_channel=False).digest not in {usual.digest, more.digest}


@pytest.mark.parametrize(
    ("runtime", "precision", "options", "told"),
    [
        ("mnn", "int8", {"leave_out": ("aa",)}, "unknown convolution 'aa' in tiny in MNN. Did you mean a"),
        (
            "onnxruntime",
            "int8",
            {"operators": ("Convv",)},
            "no operator to quantize 'Convv'. Did you mean Conv",
        ),
        ("onnxruntime", "int8", {"leave_out": ("MatMul_z",)}, "'MatMul_z'. Did you mean MatMul_"),
        ("onnxruntime", "w8", {"leave_out": ("MatMul_z",)}, "no MatMul 'MatMul_z'. Did you mean MatMul_"),
        ("onnxruntime", "fp16", {"float_operators": ("Relux",)}, "no operator 'Relux'. Did you mean Relu"),
        ("onnxruntime", "fp16", {"leave_out": ("Relux_b",)}, "no node 'Relux_b'. Did you mean Relu_b"),
        (
            "paddlelite",
            "int8",
            {"operators": ("conv3",)},
            "no operator to quantize 'conv3'. Did you mean conv",
        ),
        (
            "ncnn",
            "int8",
            {"leave_out": ("conv_7",)},
            "no layer to quantize 'conv_7'. Did you mean convrelu_0",
        ),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_nearest(made, runtime, precision, options, told):
    with pytest.raises(PocketbenchError, match=told):
        made(runtime, precision, **options)


def test_what_is_not_the_default_is_part_of_the_key_and_told_in_the_record(made, net):
    usual, asked = made("mnn", "w8"), made("mnn", "w8", block=16)
    assert "asked" not in usual.record.options
    assert asked.record.options["asked"] == {"block": 16}
    assert usual.record.key != asked.record.key
    plain = msgspec.structs.replace(form("mnn", "w8"), options=None)
    assert artifact_key(net, plain) == artifact_key(net, form("mnn", "w8"))
