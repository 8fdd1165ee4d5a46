"""Quantizing: each runtime's own way, on networks of a few nodes, computes nearly what floats do."""

import json

import msgspec
import numpy as np
import pytest

from harness.cache import Cache, file_sha256
from harness.convert import Format, make_artifact
from harness.convert.calibration import Calibration
from harness.convert.rewrite import rewritten
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.runtimes import RUNTIMES
from harness.toolchains import require_files, run_tool

pytest_plugins = ["networks"]

NETWORK = """
net (float[1, 8, 8, 8] x) => (float[1, 4] y) <int64[2] flat = {1, 16}> {
    a = Conv <pads = [1, 1, 1, 1]> (x, dense)
    b = Relu(a)
    c = Conv <pads = [1, 1, 1, 1], group = 16> (b, alone)
    d = Relu(c)
    e = Conv (d, narrow)
    f = GlobalAveragePool(e)
    g = Reshape(f, flat)
    y = MatMul(g, last)
}
"""
MATMUL = """
net (float[1, 64] x) => (float[1, 8] y) { h = MatMul(x, w) y = Neg(h) }
"""
SHAPE = (1, 4)


def form(runtime, precision="fp32"):
    return Format(runtime=runtime, version=RUNTIMES[runtime].default_version, precision=precision)


@pytest.fixture(scope="module")
def mixed(network):
    """Convolutions of all kinds and a product of matrices; channels of very different reach between two."""
    draw = np.random.default_rng(2).normal
    reach = 2.0 ** np.arange(-4, 4).repeat(2)
    weights = {
        "dense": draw(size=(16, 8, 3, 3)) * reach[:, None, None, None],
        "alone": draw(size=(16, 1, 3, 3)) / reach[:, None, None, None],
        "narrow": draw(size=(16, 16, 1, 1)),
        "last": draw(size=(16, 4)),
    }
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    return network(NETWORK, {"x": (1, 8, 8, 8)}, weights=floats)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Calibration samples of the same kind as the feed."""
    folder = tmp_path_factory.mktemp("samples")
    draw = np.random.default_rng(3).normal
    for number in range(4):
        np.savez(folder / f"{number}.npz", x=draw(size=(1, 8, 8, 8)).astype(np.float32))
    files = tuple(sorted(file.name for file in folder.iterdir()))
    return Calibration(path=folder, files=files, digest="samples")


def distance(given, reference):
    return float(np.abs(given - reference).max() / np.abs(reference).max())


@pytest.mark.parametrize(
    ("runtime", "method"),
    [
        *(("onnxruntime", method) for method in ("percentile", "minmax", "kl", "dynamic")),
        *(("mnn", method) for method in ("ema", "kl", "admm")),
        # Its kl, which is ncnn2table's, is no match for such reach: test_ncnn_tools.py has it.
        *(("ncnn", method) for method in ("percentile", "minmax")),
    ],
)
def test_int8_computes_nearly_what_floats_do(computed, mixed, shown, runtime, method):
    reference = computed(mixed, "onnxruntime", shape=SHAPE)
    calibration = msgspec.structs.replace(shown, method=method)
    given = computed(mixed, runtime, "int8", SHAPE, calibration)
    assert not np.array_equal(given, reference)
    assert distance(given, reference) < 0.25


def test_int8_of_paddle_lite_is_made_for_arm_and_refused_where_it_is_wrong(cache, mixed, shown):
    with pytest.raises(UnsupportedError, match="other values at every launch on x86"):
        make_artifact(cache, mixed, form("paddlelite", "int8"), shown)
    arm = msgspec.structs.replace(form("paddlelite", "int8"), backend="mobile", arch="aarch64")
    made = make_artifact(cache, mixed, arm, shown)
    assert made.record.files == {"nb": "model.nb"}
    assert made.record.options["operators"] == ["conv2d"]


def test_weights_in_16_bits_compute_nearly_what_floats_do_and_are_for_mobile_files(network, cache, computed):
    text = "net (float[1, 8, 6, 6] x) => (float[1, 4, 4, 4] y) { y = Conv(x, w) }"
    weights = {"w": np.random.default_rng(1).normal(size=(4, 8, 3, 3)).astype(np.float32)}
    model = network(text, {"x": (1, 8, 6, 6)}, weights=weights)
    with pytest.raises(UnsupportedError, match=r"w16 only in optimised \.nb files: ask for --backend mobile"):
        make_artifact(cache, model, form("paddlelite", "w16"))
    reference = computed(model, "onnxruntime", shape=(1, 4, 4, 4))
    coarse, fine = (
        distance(computed(model, "paddlelite", precision, (1, 4, 4, 4), backend="mobile"), reference)
        for precision in ("w8", "w16")
    )
    assert 0 < fine < coarse / 50


@pytest.mark.parametrize(("runtime", "precision", "within"), [("mnn", "w8", 0.03), ("mnn", "w4", 0.3)])
def test_weights_in_fewer_bits_compute_nearly_what_floats_do(computed, mixed, runtime, precision, within):
    reference = computed(mixed, "onnxruntime", shape=SHAPE)
    assert 0 < distance(computed(mixed, runtime, precision, SHAPE), reference) < within


@pytest.mark.parametrize(("precision", "within"), [("w8", 0.02), ("w4", 0.3)])
def test_onnxruntime_keeps_the_weights_of_matmuls_in_fewer_bits(network, computed, precision, within):
    weights = {"w": np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32)}
    model = network(MATMUL, {"x": (1, 64)}, weights=weights)
    reference = computed(model, "onnxruntime", shape=(1, 8))
    assert 0 < distance(computed(model, "onnxruntime", precision, (1, 8)), reference) < within


def test_what_was_quantized_and_what_was_left_is_recorded(cache, mixed, shown):
    weights = make_artifact(cache, mixed, form("onnxruntime", "w8")).record.options
    assert weights["MatMulNBits"] == 1
    assert weights["left_in_fp32"] == {"Conv": 3}
    layers = make_artifact(cache, mixed, form("ncnn", "int8"), shown).record.options
    assert sum(layers["int8"].values()) == 4
    assert layers["calibration"] == {"method": "percentile", "samples": 4, "of": "samples"}


def test_a_model_without_a_matmul_has_no_w8_in_onnxruntime(cache, network):
    text = "net (float[1, 4, 8, 8] x) => (float[1, 4, 6, 6] y) { y = Conv(x, w) }"
    model = network(text, {"x": (1, 4, 8, 8)}, weights={"w": np.ones((4, 4, 3, 3), np.float32)})
    with pytest.raises(UnsupportedError, match=r"only the weights of MatMul in fewer bits, .* it has 1 Conv"):
        make_artifact(cache, model, form("onnxruntime", "w8"))


def test_equalized_weights_compute_the_same_and_reach_equally_far(cache, computed, mixed, tmp_path):
    even = rewritten(cache, "equalize_weights.py", mixed.frozen, tmp_path / "even.onnx")
    assert even != mixed.frozen
    changed = msgspec.structs.replace(mixed, frozen=even, sha256=file_sha256(even))
    given, wanted = (computed(one, "onnxruntime", shape=SHAPE) for one in (changed, mixed))
    assert np.allclose(given, wanted, rtol=1e-5, atol=1e-6)


def test_layers_whose_weights_are_unknown_are_refused_and_not_guessed(cache, mixed, shown, tmp_path):
    from harness.convert.ncnn import _runtime
    from harness.environments import environment
    from harness.toolchains import TOOLS

    made = make_artifact(cache, mixed, form("ncnn", "fp32"))
    param = tmp_path / "model.param"
    text = (made.path / "model.ncnn.param").read_text()
    param.write_text(text.replace("InnerProduct ", "Frobnicate   ").replace("Gemm  ", "Gemmm "))
    tools = environment(cache, _runtime("1.0.20261020"))
    order = {"param": str(param), "bin": str(made.path / "model.ncnn.bin")}
    (tmp_path / "order.json").write_text(json.dumps(order))
    with pytest.raises(ConversionError, match="has weights of a kind that is not among BatchNorm"):
        run_tool(
            "ncnn int8",
            tools.command(str(TOOLS / "ncnn_int8.py"), "order.json"),
            cwd=tmp_path,
            env=tools.variables(),
        )


def test_a_full_disk_while_converting_is_told_and_no_refusal(tmp_path):
    cache = Cache(tmp_path)

    def failing(path):
        run_tool("tool", ["sh", "-c", "echo 'write: No space left on device'; exit 1"], cwd=path, env={})

    def silent(path):
        require_files("tool", "cannot write: No space left on device", path / "model")

    for number, build in enumerate((failing, silent)):
        with pytest.raises(PocketbenchError, match="no space left in the cache"):
            cache.entry("artifacts", {"number": number}, build)
        assert not cache.has("artifacts", {"number": number})
