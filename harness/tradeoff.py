"""Which runtime and precision to ship: what each choice costs, and which of them nothing beats.

Pure functions over the measurements of a run. The *error* of a choice is its `max_rel`: the largest
|difference| of an output from the reference over the reference's largest value, of the worst output.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Literal

import msgspec

from harness.spec import PRECISIONS, Artifact, Case, Frozen, Interval, Measurement, Parity

_BYTES_PER_MIB = 2**20

Standing = Literal["front", "dominated", "unranked"]
"""`dominated`: another choice is as good in latency, size and error and better in one. `unranked`: nothing
can be said, because it is not right, its times are an emulator's, or a figure is missing."""


class Choice(Frozen, frozen=True, kw_only=True):
    """One way to ship a model to a device, and what it costs; a figure that does not exist is None.

    `trouble` names what keeps it from being shipped and `reason` says why; both are empty when its outputs
    are right and its device was fit to measure on. `fastest` is the least latency of those that are right, on
    a device that is not emulated.
    """

    case: Case
    artifact: Artifact | None
    latency: Interval | None
    launches: int
    size_mib: float | None
    peak_rss_mib: float | None
    error: float | None
    cosine: float | None
    emulated: bool
    trouble: str = ""
    reason: str = ""
    standing: Standing = "unranked"
    fastest: bool = False

    @property
    def right(self) -> bool:
        """Whether it was measured, on a fit device, and computes what the reference computes."""
        return not self.trouble

    @property
    def latency_ms(self) -> float:
        """Centre of the latency; infinity where there is none, so that it sorts last."""
        return math.inf if self.latency is None else self.latency.centre_ms


class TradeOff(Frozen, frozen=True, kw_only=True):
    """All choices for one model on one device in one run: by latency, what has no figure last."""

    run_id: str
    model: str
    device: str
    emulated: bool
    choices: tuple[Choice, ...]

    @property
    def right(self) -> tuple[Choice, ...]:
        """Those that can be shipped, fastest first."""
        return tuple(choice for choice in self.choices if choice.right)

    @property
    def troubled(self) -> tuple[Choice, ...]:
        """Those that cannot, with what keeps each from it."""
        return tuple(choice for choice in self.choices if not choice.right)


def trade_offs(
    measurements: Iterable[Measurement], *, model: str | None = None, device: str | None = None
) -> tuple[TradeOff, ...]:
    """The trade-off of every device and model in `measurements` of one run, or only those that are named.

    Of several measurements of a case on a device the last counts.
    """
    newest = {
        (m.device, m.case): m
        for m in measurements
        if model in (None, m.case.model) and device in (None, m.device)
    }
    ordered = sorted(newest.values(), key=lambda m: (m.emulated, m.device, m.case.model))
    return tuple(
        _trade_off(list(members))
        for _, members in groupby(ordered, key=lambda m: (m.emulated, m.device, m.case.model))
    )


def tied_with(choice: Choice, others: Iterable[Choice]) -> tuple[Choice, ...]:
    """Those of `others` whose latency interval meets that of `choice`: they cannot be told apart from it."""
    mine = choice.latency
    if mine is None:
        return ()
    return tuple(
        other
        for other in others
        if other is not choice
        and other.latency is not None
        and other.latency.low_ms <= mine.high_ms
        and mine.low_ms <= other.latency.high_ms
    )


def dominates(one: Choice, other: Choice) -> bool:
    """Whether `one` is no worse than `other` in latency, size and error, and better in one of them.

    False where either lacks a figure: what is not known beats nothing and is beaten by nothing.
    """
    mine, theirs = _costs(one), _costs(other)
    if mine is None or theirs is None:
        return False
    return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def error_of(parity: Parity | None) -> float | None:
    """`max_rel` of the worst output; 0 for an output without one that is right, because it is identical.

    None where an output cannot be compared, or where nothing was.
    """
    if parity is None or not parity.outputs:
        return None
    errors = [0.0 if o.max_rel is None and o.ok else _finite(o.max_rel) for o in parity.outputs]
    known = [error for error in errors if error is not None]
    return max(known) if len(known) == len(errors) else None


def _trade_off(members: Sequence[Measurement]) -> TradeOff:
    first = members[0]
    choices = _judged([_choice(measurement) for measurement in members])
    return TradeOff(
        run_id=first.run_id,
        model=first.case.model,
        device=first.device,
        emulated=first.emulated,
        choices=tuple(sorted(choices, key=_order)),
    )


def _choice(measurement: Measurement) -> Choice:
    latency, artifact, parity = measurement.latency, measurement.artifact, measurement.parity
    interval = latency.interval if latency and _finite(latency.interval.centre_ms) is not None else None
    trouble, reason = _trouble(measurement, interval)
    return Choice(
        case=measurement.case,
        artifact=artifact,
        latency=interval,
        launches=latency.launches if latency else 0,
        size_mib=artifact.size_bytes / _BYTES_PER_MIB if artifact else None,
        peak_rss_mib=measurement.peak_rss_mib,
        error=error_of(parity),
        cosine=_finite(parity.worst("cosine")) if parity else None,
        emulated=measurement.emulated,
        trouble=trouble,
        reason=reason,
    )


def _trouble(measurement: Measurement, interval: Interval | None) -> tuple[str, str]:
    """What keeps this choice from being shipped, and why; both empty when nothing does."""
    parity, judged = measurement.parity, measurement.verdict
    if measurement.status != "measured":
        return measurement.status, measurement.reason or judged.reason
    if interval is None:
        return "failed", measurement.reason or "no launch gave a timed iteration"
    if judged.kind == "invalid":
        return "invalid", judged.reason
    if parity is None:
        return "not compared", measurement.reason or "its outputs were not brought back"
    if not parity.ok:
        wrong = [f"{o.name}: {o.failure or 'outside its limits'}" for o in parity.outputs if not o.ok]
        return "wrong outputs", "; ".join(wrong)
    return "", ""


def _judged(choices: Sequence[Choice]) -> list[Choice]:
    """The choices with their standing; an emulator's times make none of its choices better than another."""
    rivals = [choice for choice in choices if choice.right and not choice.emulated]
    fastest = min(rivals, key=lambda choice: choice.latency_ms, default=None)
    judged = []
    for choice in choices:
        standing: Standing = "unranked"
        if choice in rivals and _costs(choice) is not None:
            beaten = any(dominates(rival, choice) for rival in rivals)
            standing = "dominated" if beaten else "front"
        judged.append(msgspec.structs.replace(choice, standing=standing, fastest=choice is fastest))
    return judged


def _costs(choice: Choice) -> tuple[float, float, float] | None:
    """What a choice is ranked by, less is better; None where one of them is missing."""
    if choice.latency is None or choice.size_mib is None or choice.error is None:
        return None
    return choice.latency.centre_ms, choice.size_mib, choice.error


def _order(choice: Choice) -> tuple[bool, float, str, str, int, int, str]:
    case = choice.case
    precision = PRECISIONS.index(case.precision)
    return (not choice.right, choice.latency_ms, *_engine(case), precision, case.threads, case.backend)


_engine = attrgetter("runtime", "runtime_version")


def _finite(value: float | None) -> float | None:
    """A figure that can be compared: NaN and infinity are none."""
    return value if value is not None and math.isfinite(value) else None
