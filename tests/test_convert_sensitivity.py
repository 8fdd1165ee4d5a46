"""What must not be in 8 bits: one operator that does most of the harm is found, left in fp32 and recorded."""

import msgspec
import numpy as np
import pytest

from harness.convert import Format, make_artifact
from harness.convert.calibration import Calibration
from harness.runtimes import RUNTIMES
from harness.spec.conversion import OnnxruntimeInt8

pytest_plugins = ["networks"]

NETWORK = """
net (float[1, 4, 8, 8] x) => (float[1, 4, 4, 4] y) { a = Conv (x, coarse) b = Tanh(a) y = Conv (b, fine) }
"""
FORM = Format(
    runtime="onnxruntime", version=RUNTIMES["onnxruntime"].default_version, precision="int8", backend="cpu"
)


@pytest.fixture(scope="module")
def uneven(network):
    """Its first convolution takes little of the channel that in samples may be far larger than the others."""
    draw = np.random.default_rng(1).normal
    reach = np.array([1e-4, 1, 1, 1]).reshape(1, 4, 1, 1)
    weights = {"coarse": draw(size=(8, 4, 3, 3)) * reach / 4, "fine": draw(size=(4, 8, 3, 3))}
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    return network(NETWORK, {"x": (1, 4, 8, 8)}, weights=floats)


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
    assert len(found["left_in_fp32"]) == 1
    assert found["all_quantized_db"] < 18
    assert found["target_db"] == 18
    assert found["operators"]["DequantizeLinear"] < 5


def test_without_a_target_all_are_quantized(cache, uneven, shown):
    form = msgspec.structs.replace(FORM, options=OnnxruntimeInt8(target_db=0))
    found = make_artifact(cache, uneven, form, shown).record.options
    assert "left_in_fp32" not in found
    assert "all_quantized_db" not in found


def test_what_is_right_in_8_bits_is_quantized_whole(cache, uneven, samples):
    found = make_artifact(cache, uneven, FORM, samples(1.0)).record.options
    assert "left_in_fp32" not in found
    assert found["all_quantized_db"] > 18
