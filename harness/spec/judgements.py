"""What is made of the launches of a case: parity, latency, verdict."""

from typing import Literal

from harness.spec.base import Frozen
from harness.spec.cases import ParityLimits

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
