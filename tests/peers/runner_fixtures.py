"""The runner with a small model, staged on this machine: `pytest_plugins = ["peers.runner_fixtures"]`."""

import numpy as np
import pytest

from devices.local import LocalDevice
from harness.bundles import wheel_bundle
from harness.cache import Cache
from harness.launch import Files, runner_tree, stage
from harness.runtimes import RUNTIMES
from harness.spec import TensorSpec

from .negating import negating_model


@pytest.fixture
def bench(tmp_path):
    """This machine, with a work directory of the test's own."""
    with LocalDevice("bench", str(tmp_path / "work"), exclusive=False) as opened:
        yield opened


@pytest.fixture
def staged(bench, tmp_path):
    (tmp_path / "model.onnx").write_bytes(negating_model())
    np.save(tmp_path / "0.npy", np.arange(4, dtype="float32").reshape(1, 4))
    runtime = RUNTIMES["onnxruntime"]
    return stage(
        bench,
        runner=runner_tree(Cache()),
        bundle=wheel_bundle(Cache(), runtime, runtime.default_version),
        artifact=Files(path=tmp_path, digest="unused", names={"onnx": "model.onnx"}),
        feed=Files(path=tmp_path, digest="unused", names={"0": "0.npy"}),
        inputs=(TensorSpec(name="x", shape=(1, 4)),),
        environment=runtime.variables(1),
    )
