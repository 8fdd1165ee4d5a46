"""What must not be in 8 bits: one operator that does most of the harm is found, left in fp32 and recorded."""

import msgspec
import numpy as np
import pytest

from harness.convert import Format, make_artifact, onnxruntime
from harness.convert.calibration import Calibration
from harness.runtimes import RUNTIMES
from harness.spec.conversion import OnnxruntimeInt8

pytest_plugins = ["networks"]

NETWORK = """
net (float[1, 4, 8, 8] x) => (float[1, 4, 4, 4] y) { a = Conv (x, coarse) b = Tanh(a) y = Conv (b, fine) }
"""
MASKED = """
net (float[1, 4, 8, 8] x) => (float[1, 4, 4, 4] y) {
    a = Conv (x, coarse) b = Tanh(a) c = Conv (b, fine) y = Add(c, mask)
}
"""
CLIPPED = """
net (float[1, 4, 8, 8] x) => (float[1, 4, 4, 4] y) {
    a = Conv (x, coarse) b = Tanh(a) c = Conv (b, fine) d = Abs(c) y = Log(d)
}
"""
FORM = Format(
    runtime="onnxruntime", version=RUNTIMES["onnxruntime"].default_version, precision="int8", backend="cpu"
)


@pytest.fixture(scope="module")
def uneven(weighted):
    return weighted(NETWORK)


@pytest.fixture(scope="module")
def weighted(network):
    """Their first convolution takes little of the channel that in samples may be larger than the others."""
    draw = np.random.default_rng(1).normal
    reach = np.array([1e-4, 1, 1, 1]).reshape(1, 4, 1, 1)
    weights = {"coarse": draw(size=(8, 4, 3, 3)) * reach / 4, "fine": draw(size=(4, 8, 3, 3))}
    floats = {name: array.astype(np.float32) for name, array in weights.items()}

    def make(text, **more):
        return network(text, {"x": (1, 4, 8, 8)}, weights=floats | more)

    return make


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Makes samples whose first channel reaches so many times as far as the others."""

    def make(factor):
        folder = tmp_path_factory.mktemp("samples")
        draw = np.random.default_rng(2).normal
        reach = np.array([factor, 1, 1, 1]).reshape(1, 4, 1, 1)
        for number in range(2):
            np.savez(folder / f"{number}.npz", x=(draw(size=(1, 4, 8, 8)) * reach).astype(np.float32))
        files = tuple(sorted(file.name for file in folder.iterdir()))
        return Calibration(path=folder, files=files, digest=f"first by {factor}")

    return make


@pytest.fixture(scope="module")
def shown(samples):
    return samples(1e4)


def test_the_operator_that_loses_most_stays_in_fp32(cache, uneven, shown):
    found = make_artifact(cache, uneven, FORM, shown).record.options
    assert len(found["worst_operators"]) == 1
    assert found["left_in_fp32"] == {"Conv": 1}
    assert found["all_quantized_db"] < 18
    assert found["target_db"] == 18
    assert found["operators"] == ["Conv", "ConvTranspose", "Gemm", "MatMul"]
    assert found["operator_counts"]["DequantizeLinear"] < 5


def test_where_an_output_is_infinite_by_right_the_rest_of_it_is_looked_at(cache, uneven, weighted, shown):
    mask = np.zeros((1, 4, 4, 4), np.float32)
    mask[0, 0, 0] = -np.inf
    masked = weighted(MASKED, mask=mask)
    plain, found = (make_artifact(cache, model, FORM, shown).record.options for model in (uneven, masked))
    assert len(found["worst_operators"]) == 1
    assert found["all_quantized_db"] == pytest.approx(plain["all_quantized_db"], abs=1)


def test_what_becomes_infinite_in_8_bits_counts_as_lost(cache, weighted, shown):
    found = make_artifact(cache, weighted(CLIPPED), FORM, shown).record.options
    assert -60 <= found["all_quantized_db"] < -40
    assert len(found["worst_operators"]) == 1


def test_a_search_that_is_out_of_time_is_recorded_and_all_are_quantized(cache, uneven, samples, monkeypatch):
    monkeypatch.setattr(onnxruntime, "SEARCH_SHARE", 0.0)
    found = make_artifact(cache, uneven, FORM, samples(2e4)).record.options
    assert found["not_searched"] == "the time was over after 0 of 2 operators"
    assert "worst_operators" not in found
    assert found["left_in_fp32"] == {}


def test_without_a_target_all_are_quantized(cache, uneven, shown):
    form = msgspec.structs.replace(FORM, options=OnnxruntimeInt8(target_db=0))
    found = make_artifact(cache, uneven, form, shown).record.options
    assert found["left_in_fp32"] == {}
    assert "all_quantized_db" not in found


def test_what_is_right_in_8_bits_is_quantized_whole(cache, uneven, samples):
    found = make_artifact(cache, uneven, FORM, samples(1.0)).record.options
    assert "worst_operators" not in found
    assert found["left_in_fp32"] == {}
    assert found["all_quantized_db"] > 18
