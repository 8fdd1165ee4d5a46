"""ncnn on a GPU through Vulkan, for which Mesa's software driver stands in."""

import ctypes.util
from pathlib import Path

import msgspec
import pytest

from devices.local import LocalDevice
from harness.arm import make_arm
from harness.cache import Cache
from harness.convert import Format, artifact_key
from harness.launch import launch, load_outputs
from harness.models.zoo import load_zoo
from harness.parity import judge
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.schedule import EFFORTS
from harness.spec import Case, TimingPlan, WarmupPlan

ZOO = Path(__file__).parent.parent / "suites" / "zoo.toml"
DRIVERS = Path("/usr/share/vulkan/icd.d")
WARMUP = WarmupPlan(max_iterations=3, max_s=0.3)
TIMING = TimingPlan(min_iterations=3, max_iterations=3, target_s=0.0)

needs_driver = pytest.mark.skipif(
    ctypes.util.find_library("vulkan") is None or not list(DRIVERS.glob("*.json")),
    reason="no Vulkan driver here: tests/setup.sh installs one that needs no GPU",
)


@pytest.fixture
def device(tmp_path):
    with LocalDevice("bench", str(tmp_path / "bench"), exclusive=False) as opened:
        yield opened


def made_ready(backend="vulkan", precision="fp32"):
    case = Case(
        model="ppocr_cls",
        runtime="ncnn",
        runtime_version=RUNTIMES["ncnn"].default_version,
        precision=precision,
        threads=1,
        backend=backend,
    )
    return make_ready(Cache(), load_zoo(ZOO)[case.model], ZOO.parent, case)


def launched(device, ready, tmp_path, **environment):
    """A short launch whose driver keeps no compiled shaders in the user's home."""
    arm = make_arm(device, ready, EFFORTS["quick"], Cache())
    variables = {
        **arm.staged.environment,
        "MESA_SHADER_CACHE_DIR": str(tmp_path / "shaders"),
        **environment,
    }
    staged = msgspec.structs.replace(arm.staged, environment=variables)
    job = msgspec.structs.replace(arm.job, warmup=WARMUP, timing=TIMING)
    return launch(device, staged, job, outputs=tmp_path / "outputs")


@needs_driver
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_gpu_computes_what_the_reference_computes_and_is_named_in_the_result(device, tmp_path, precision):
    ready = made_ready(precision=precision)
    done = launched(device, ready, tmp_path)
    assert (done.status, done.exit_code, done.reason) == ("measured", 0, "")
    assert done.result.backend.startswith("vulkan, ")
    found = load_outputs(tmp_path / "outputs", done.result.outputs)
    parity = judge(ready.reference.arrays(), found, precision=precision, task="classifier")
    assert parity.ok, parity
    assert parity.outputs[0].cosine > 0.999


@pytest.mark.parametrize("variable", ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"])
def test_a_machine_without_a_driver_is_refused_with_what_to_do(device, tmp_path, variable):
    done = launched(device, made_ready(), tmp_path, **{variable: "/nonexistent"})
    assert (done.status, done.exit_code, done.stage) == ("failed", 3, "load")
    assert "ncnn finds no GPU with a Vulkan driver here; install" in done.reason
    assert "docs/android.md" in done.reason


def test_the_same_files_serve_the_cpu_and_the_gpu():
    on_gpu, on_cpu = made_ready("vulkan"), made_ready("cpu")
    assert on_gpu.artifact.digest == on_cpu.artifact.digest
    keys = [artifact_key(ready.model, Format.of(ready.case)) for ready in (on_gpu, on_cpu)]
    assert [key["backend"] for key in keys] == ["vulkan", "cpu"]
    assert {**keys[0], "backend": "cpu"} == keys[1]
