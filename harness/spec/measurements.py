"""What a run keeps: its measurements, with what was measured and how it was judged."""

from typing import Any, Literal

from harness.spec.base import SCHEMA, Frozen
from harness.spec.cases import Budget, Case, Expectation
from harness.spec.jobs import LaunchResult, RunnerResult, Status
from harness.spec.judgements import Latency, Parity, Verdict


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
