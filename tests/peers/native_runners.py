"""The static ncnn runner in tests: built once, given a model of the zoo or a network of a few lines."""

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from harness.arm import make_arm
from harness.bundles import native as bundles_native
from harness.bundles.compilers import abi_named
from harness.bundles.native import NCNN_OPTIONS, native_bundle
from harness.cache import Cache
from harness.launch import Staged, launch, load_outputs
from harness.models.zoo import load_zoo
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.schedule import EFFORTS
from harness.spec import Case, Job, JobInput, TensorSpec, TimingPlan, WarmupPlan

ZOO = Path(__file__).parent.parent.parent / "suites" / "zoo.toml"
NCNN = RUNTIMES["ncnn"]
QEMU = "qemu-aarch64-static"
TOOLS = {"x86_64": ("g++",), "arm64-v8a": ("aarch64-linux-gnu-g++", QEMU)}
WARMUP = WarmupPlan(max_iterations=20, max_s=0.3)
TIMING = TimingPlan(min_iterations=7, max_iterations=9, target_s=0.0)
ONE_KIND_OF_CORE = {"NCNN_RUNTIME_CPU": "OFF", "NCNN_AVX512": "OFF", "NCNN_AVXVNNI": "OFF", "NCNN_XOP": "OFF"}

RELU = "7767517\n2 2\nInput in0 0 1 in0\nReLU relu 1 1 in0 out0\n"
"""max(x, 0)"""
FEED = np.linspace(-3, 3, 24, dtype="float32").reshape(1, 2, 3, 4)


class Arm(NamedTuple):
    staged: Staged
    job: Job


def built(abi):
    missing = [tool for tool in TOOLS[abi] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: tests/setup.sh installs what is needed")
    return native_bundle(Cache(), NCNN, NCNN.default_version, abi_named(abi), lambda *_: None)


@contextmanager
def one_kind_of_core():
    """One set of kernels instead of one for each kind of x86: a fifth of the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles_native, "NCNN_OPTIONS", {**NCNN_OPTIONS, **ONE_KIND_OF_CORE})
        yield


def arms(device, bundle, precision="fp32", threads=1):
    """ppocr_cls for the Python runner and for the one in `bundle`, which may be of another processor."""
    case = Case(
        model="ppocr_cls",
        runtime="ncnn",
        runtime_version=NCNN.default_version,
        precision=precision,
        threads=threads,
    )
    ready = make_ready(Cache(), load_zoo(ZOO)[case.model], ZOO.parent, case)
    made = [
        make_arm(device, msgspec.structs.replace(ready, bundle=one), EFFORTS["quick"], Cache())
        for one in (ready.bundle, bundle)
    ]
    python, ours = (
        msgspec.structs.replace(
            arm, job=msgspec.structs.replace(arm.job, warmup=WARMUP, timing=TIMING, threads=threads)
        )
        for arm in made
    )
    if bundle.info.platform == "linux-aarch64":
        ours = msgspec.structs.replace(ours, staged=emulated(ours.staged))
    return python, ours


def emulated(staged):
    return msgspec.structs.replace(staged, command=(QEMU, *staged.command))


def launched(device, arm, place):
    done = launch(device, arm.staged, arm.job, outputs=place)
    assert (done.status, done.reason, done.stage) == ("measured", "", "done")
    ((_, array),) = load_outputs(place, done.result.outputs)
    return done.result, array


def tiny(bundle, tmp_path, param=RELU, feeds=(FEED,), **changes):
    """A network of a few lines for the runner in `bundle`; what is given replaces the job's fields."""
    (tmp_path / "net.param").write_text(param)
    (tmp_path / "net.bin").write_bytes(b"")
    inputs = []
    for index, feed in enumerate(feeds):
        np.save(tmp_path / f"{index}.npy", feed)
        inputs.append(
            JobInput(
                name=f"x{index}", shape=feed.shape, dtype=feed.dtype.name, file=str(tmp_path / f"{index}.npy")
            )
        )
    given = {
        "runtime": "ncnn",
        "backend": "cpu",
        "precision": "fp32",
        "threads": 1,
        "files": {"param": str(tmp_path / "net.param"), "bin": str(tmp_path / "net.bin")},
        "inputs": tuple(inputs),
        "outputs": (TensorSpec(name='y {"}', shape=feeds[0].shape),),
        "warmup": WARMUP,
        "timing": TIMING,
        "options": {"batch_axes": [0] * len(feeds)},
    }
    staged = Staged(
        command=bundle.command(str(bundle.path)),
        environment=NCNN.variables(1),
        files=given["files"],
        inputs=given["inputs"],
    )
    return Arm(staged, Job(**{**given, **changes}))
