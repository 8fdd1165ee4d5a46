"""What a runner is told, what it answers, and what became of its process."""

from typing import Any, Literal

from harness.spec.base import SCHEMA, Frozen
from harness.spec.cases import Precision, TensorSpec

Status = Literal["measured", "crashed", "timeout", "unsupported", "failed"]
"""How far a case came; `failed` is a case whose launches ended without a usable result."""


class WarmupPlan(Frozen, frozen=True, kw_only=True):
    """Warm up until the median of the last `window` is within `tolerance` of the `window` before."""

    min_iterations: int = 3
    max_iterations: int = 200
    max_s: float = 1.0
    window: int = 5
    tolerance: float = 0.02


class TimingPlan(Frozen, frozen=True, kw_only=True):
    """Timed iterations: at least `min_iterations`, then until `target_s` or `max_iterations`."""

    min_iterations: int = 5
    max_iterations: int = 2000
    target_s: float = 0.5


class JobInput(Frozen, frozen=True, kw_only=True):
    """One input tensor and the .npy file on the device that feeds it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str


class Job(Frozen, frozen=True, kw_only=True):
    """What a runner is told to do, written to job.json; paths are paths on the device."""

    schema: int = SCHEMA
    runtime: str
    backend: str
    precision: Precision
    threads: int
    files: dict[str, str]
    inputs: tuple[JobInput, ...]
    outputs: tuple[TensorSpec, ...]
    warmup: WarmupPlan = WarmupPlan()
    timing: TimingPlan = TimingPlan()
    options: dict[str, Any] = {}


class Warmup(Frozen, frozen=True, kw_only=True):
    """What the warm-up took and whether it settled before its cap."""

    samples_ns: tuple[int, ...]
    settled: bool


class MemoryUse(Frozen, frozen=True, kw_only=True):
    """Resident bytes of the runner at its stages; the peak is VmHWM, PSS where the kernel lets us read it."""

    before_import_rss_bytes: int | None = None
    before_load_rss_bytes: int | None = None
    after_load_rss_bytes: int | None = None
    after_first_rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    pss_bytes: int | None = None


class DeviceState(Frozen, frozen=True, kw_only=True):
    """What a device's sensors said at one moment; every reading is optional."""

    load_average: float | None = None
    frequencies_khz: dict[str, int] = {}
    temperatures_celsius: dict[str, float] = {}


class RunnerResult(Frozen, frozen=True, kw_only=True):
    """What the runner wrote to result.json."""

    schema: int
    runtime: str
    runtime_version: str
    python: str | None = None
    backend: str | None = None
    import_s: float
    load_s: float
    first_s: float
    warmup: Warmup
    samples_ns: tuple[int, ...]
    started_ns: tuple[int, ...]
    memory: MemoryUse
    threads_asked: int
    threads_obtained: int | None = None
    affinity: tuple[int, ...] | None = None
    cpu_time_s: float | None = None
    timed_wall_s: float | None = None
    involuntary_switches: int | None = None
    voluntary_switches: int | None = None
    state_start: DeviceState = DeviceState()
    state_end: DeviceState = DeviceState()
    outputs: tuple[TensorSpec, ...] = ()


class LaunchResult(Frozen, frozen=True, kw_only=True):
    """One runner process: how it ended, how long it lived, and its result when it wrote one.

    `stage` names what the runner was doing when it died (import, load, first, warmup, timing, outputs).
    """

    index: int
    status: Status
    reason: str = ""
    exit_code: int | None = None
    signal: str | None = None
    stage: str | None = None
    wall_s: float
    stderr_tail: str = ""
    result: RunnerResult | None = None
