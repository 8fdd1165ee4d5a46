"""Ranges of activations for onnxruntime: what onnxruntime itself finds, in the memory of one sample."""

import json
import subprocess

import numpy as np
import pytest

from harness.convert.onnxruntime import QUANTIZER
from harness.environments import environment
from harness.toolchains import TOOLS

pytest_plugins = ["networks"]

NETWORK = """
net (float[1, 4, 128, 128] x) => (float[1, 8, 128, 128] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, first)
    b = Relu(a)
    c = Conv <pads = [1, 1, 1, 1]> (b, second)
    y = Tanh(c)
}
"""
# By onnxruntime's calibrator and by ours: lowest and highest of every tensor. Then what more samples cost.
COMPARE = """
import json, sys
from pathlib import Path
import onnx_ranges
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator, load_tensors_data

model, method, files = Path(sys.argv[1]), CalibrationMethod[sys.argv[2]], sys.argv[3:]
options = {"operators": ["Conv", "Tanh"], "percentile": 99.9}

def ranges(data):
    return {name: [float(one.lowest), float(one.highest)] for name, one in data.items()}

def most_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

def ours(files):
    onnx_ranges.write_ranges(model, files, method, options, Path("ranges.json"))
    return ranges(load_tensors_data("ranges.json"))

found = ours(files)
before = most_mib()
ours(files * 10)
growth = most_mib() - before
extra = {"percentile": 99.9} if method is CalibrationMethod.Percentile else {}
calibrator = create_calibrator(model, options["operators"], "augmented.onnx", method, extra_options=extra)
calibrator.collect_data(onnx_ranges.Samples(files))
Path("compared.json").write_text(json.dumps([found, ranges(calibrator.compute_data()), growth]))
"""


@pytest.fixture(scope="module")
def net(network):
    draw = np.random.default_rng(2).normal
    shapes = {"first": (8, 4, 3, 3), "second": (8, 8, 3, 3)}
    weights = {name: draw(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return network(NETWORK, {"x": (1, 4, 128, 128)}, weights=weights)


@pytest.mark.parametrize("method", ["Percentile", "Entropy"])
def test_ranges_are_those_of_onnxruntime_and_samples_are_held_one_at_a_time(cache, net, tmp_path, method):
    draw = np.random.default_rng(3).normal
    for number in range(4):
        # The reach grows, so that histograms by what was seen so far would differ.
        np.savez(tmp_path / f"{number}.npz", x=(draw(size=(1, 4, 128, 128)) * 2**number).astype(np.float32))
    files = [str(tmp_path / f"{number}.npz") for number in range(4)]
    tools = environment(cache, QUANTIZER)
    variables = tools.variables()
    variables["PYTHONPATH"] = f"{TOOLS}:{variables['PYTHONPATH']}"
    command = tools.command("-c", COMPARE, str(net.frozen), method, *files)
    subprocess.run(command, env=variables, cwd=tmp_path, check=True, capture_output=True)
    ours, theirs, growth_mib = json.loads((tmp_path / "compared.json").read_text())
    assert ours == theirs
    assert set(ours) == {"x", "a", "b", "c", "y"}
    # Tensors of a sample are 2.25 MiB; 36 samples more would be 80.
    assert growth_mib < 20
