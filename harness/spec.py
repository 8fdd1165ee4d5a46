"""Plain frozen data that flows one way: Case -> Job -> LaunchResult -> Measurement -> Verdict. No IO.

Units are in the names; absent readings are None. Everything here survives a round trip through JSON.
"""

from typing import Any, Literal

import msgspec

SCHEMA = 1
"""Version of the job, result and measurement formats; a reader refuses what it does not know."""

PRECISIONS = ("fp32", "fp16", "bf16", "w8", "w4", "int8")
Precision = Literal["fp32", "fp16", "bf16", "w8", "w4", "int8"]

Status = Literal["measured", "crashed", "timeout", "unsupported", "failed"]
"""How far a case came; `failed` is a case whose launches ended without a usable result."""

VerdictKind = Literal[
    "ok",
    "improved",
    "regressed",
    "inconclusive",
    "invalid",
    "new",
    "crashed",
    "timeout",
    "unsupported",
    "failed",
]


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all data here: immutable, keyword-only, strict about unknown fields."""


class TensorSpec(Frozen, frozen=True, kw_only=True):
    """Name, shape and numpy dtype name of one input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


class ParityLimits(Frozen, frozen=True, kw_only=True):
    """Thresholds an output must hold; None takes the precision's default (see harness/parity.py)."""

    max_rel: float | None = None
    cosine: float | None = None
    snr_db: float | None = None
    top_k: float | None = None


class Budget(Frozen, frozen=True, kw_only=True):
    """Ceilings a model's owner declares in the zoo; None means no ceiling."""

    latency_ms: float | None = None
    peak_rss_mib: float | None = None


class Model(Frozen, frozen=True, kw_only=True):
    """A network with named, typed inputs and a realistic feed for each, as the zoo describes it."""

    name: str
    source: str
    sha256: str
    feed: str
    inputs: tuple[TensorSpec, ...]
    constants: dict[str, int | float] = {}
    task: Literal["detector", "classifier", "sequence", "other"] = "other"
    license: str = ""
    default: bool = True
    feed_source: str | None = None
    feed_sha256: str | None = None
    parity: dict[str, ParityLimits] = {}
    budget: Budget = Budget()


class Case(Frozen, frozen=True, kw_only=True, order=True):
    """What is measured: model x runtime x precision x threads x backend."""

    model: str
    runtime: str
    runtime_version: str
    precision: Precision
    threads: int
    backend: str = "cpu"

    @property
    def engine(self) -> str:
        """Runtime at its version, as users write it: `ncnn@1.0.20261020`."""
        return f"{self.runtime}@{self.runtime_version}"

    @property
    def key(self) -> str:
        """Stable identity across runs; the history is joined on it."""
        return "/".join(
            (self.model, self.engine, self.precision, f"t{self.threads}", self.backend),
        )


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


class OutputParity(Frozen, frozen=True, kw_only=True):
    """How far one output is from the reference; figures are None where they have no meaning."""

    name: str
    ok: bool
    failure: str = ""
    max_abs: float | None = None
    max_rel: float | None = None
    cosine: float | None = None
    snr_db: float | None = None
    top_k: float | None = None


class Parity(Frozen, frozen=True, kw_only=True):
    """Outputs judged against the host's onnxruntime fp32; the case's figure is its worst output's."""

    ok: bool
    outputs: tuple[OutputParity, ...]
    limits: ParityLimits
    reference: str

    def worst(self, figure: Literal["max_rel", "cosine", "snr_db", "top_k"]) -> float | None:
        """Worst value of `figure` over the outputs, or None when no output has one."""
        values: list[float] = [v for output in self.outputs if (v := getattr(output, figure)) is not None]
        if not values:
            return None
        return max(values) if figure == "max_rel" else min(values)


class Artifact(Frozen, frozen=True, kw_only=True):
    """A model converted for one runtime and precision, as recorded with a measurement."""

    key: str
    converter: str
    options: dict[str, Any]
    files: dict[str, str]
    size_bytes: int
    sha256: dict[str, str]


class BundleInfo(Frozen, frozen=True, kw_only=True):
    """Which runtime files ran: kind, version, platform and the hash of the whole.

    `compiled`: its Python packages hold byte code, so that importing them compiles nothing.
    """

    key: str
    kind: Literal["wheel", "portable", "binary"]
    runtime: str
    version: str
    platform: str
    python: str | None
    packages: dict[str, str]
    compiled: bool = True


class Interval(Frozen, frozen=True, kw_only=True):
    """A centre and the bounds of its confidence interval, in milliseconds."""

    centre_ms: float
    low_ms: float
    high_ms: float
    confidence: float


class Latency(Frozen, frozen=True, kw_only=True):
    """Summary of all launches of a case; p99 only from 1000 iterations on."""

    interval: Interval
    min_ms: float
    p90_ms: float
    p99_ms: float | None
    iterations: int
    launches: int


class Verdict(Frozen, frozen=True, kw_only=True):
    """What became of a case against its baseline; `ratio` is candidate over baseline."""

    kind: VerdictKind
    reason: str = ""
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    baseline_run: str | None = None


class Expectation(Frozen, frozen=True, kw_only=True):
    """A known deviation: what is wrong, why, and what proves it."""

    model: str
    runtime: str
    precision: Precision
    expect: Literal["unsupported", "crashed", "timeout", "failed", "parity"]
    reason: str
    evidence: str


class Pair(Frozen, frozen=True, kw_only=True):
    """Two live runners that were alternated: ns of each block, block i of one beside block i of the other."""

    candidate_ns: tuple[tuple[int, ...], ...]
    against_ns: tuple[tuple[int, ...], ...]


class Against(Frozen, frozen=True, kw_only=True):
    """The same case in another version of its runtime, alternated with it; `reason`: why it is not there."""

    engine: str
    artifact: Artifact | None = None
    bundle: BundleInfo | None = None
    pairs: tuple[Pair, ...] = ()
    reason: str = ""


class Measurement(Frozen, frozen=True, kw_only=True):
    """All launches of a case on a device in one run; one line of measurements.jsonl.

    `not_applicable`: unsupported because the runtime has no such precision or this machine cannot hold
    it at all, not because something refused this model. `content_bytes_sent`: what the device did not have
    yet of runner, bundle, artifact and feed.
    """

    schema: int = SCHEMA
    run_id: str
    device: str
    device_fingerprint: str
    emulated: bool = False
    case: Case
    status: Status
    reason: str = ""
    not_applicable: bool = False
    started_at: str
    seconds: float
    effort: str
    seed: int
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    log: str | None = None
    artifact: Artifact | None = None
    bundle: BundleInfo | None = None
    launches: tuple[LaunchResult, ...] = ()
    latency: Latency | None = None
    parity: Parity | None = None
    against: Against | None = None
    facts: dict[str, Any] = {}
    telemetry_before: dict[str, Any] = {}
    telemetry_after: dict[str, Any] = {}
    content_bytes_sent: int = 0
    budget: Budget = Budget()
    expectation: Expectation | None = None
    verdict: Verdict

    @property
    def results(self) -> tuple[RunnerResult, ...]:
        """Results of the launches that ended well."""
        return tuple(launch.result for launch in self.launches if launch.result is not None)

    @property
    def peak_rss_mib(self) -> float | None:
        """Highest VmHWM over the launches, in MiB."""
        peaks = [r.memory.peak_rss_bytes for r in self.results if r.memory.peak_rss_bytes is not None]
        return max(peaks) / 2**20 if peaks else None


class RunInfo(Frozen, frozen=True, kw_only=True):
    """One pytest session: what was asked, where, with what; stored as run.json beside the measurements."""

    schema: int = SCHEMA
    run_id: str
    started_at: str
    finished_at: str | None = None
    argv: tuple[str, ...]
    effort: str
    seed: int
    devices: tuple[str, ...]
    pocketbench_version: str
    source_revision: str | None = None
    planned: int = 0
    host: dict[str, Any] = {}
