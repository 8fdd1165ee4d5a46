"""What the page shows of each case, as frozen rows: words, marks and figures spelled out. No IO."""

import re
import zlib
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal

import msgspec

from harness.spec import PRECISIONS, Expectation, Frozen, Measurement
from reports import numbers

Tone = Literal["good", "bad", "warn", "quiet"]
"""How a word is coloured; the word and its symbol say the same without the colour."""

HUES = 8
_KNOWN_HUES = {"onnxruntime": 0, "mnn": 1, "ncnn": 2, "paddlelite": 3}

_WORDS: dict[str, tuple[str, Tone]] = {
    "ok": ("unchanged", "quiet"),
    "improved": ("improved", "good"),
    "regressed": ("regressed", "bad"),
    "inconclusive": ("inconclusive", "warn"),
    "invalid": ("invalid", "warn"),
    "new": ("new", "quiet"),
    "crashed": ("crashed", "bad"),
    "timeout": ("timeout", "bad"),
    "unsupported": ("unsupported", "warn"),
    "failed": ("failed", "bad"),
}
_OF_EMULATOR: tuple[str, Tone] = ("not judged", "quiet")
SYMBOLS = {
    "unchanged": "=",
    "improved": "▼",
    "regressed": "▲",
    "inconclusive": "?",
    "invalid": "!",
    "not judged": "○",
    "new": "•",
    "crashed": "✕",
    "timeout": "⧖",
    "unsupported": "⊘",
    "failed": "✕",
}


class Row(Frozen, frozen=True, kw_only=True):
    """One case on one device, ready to be shown."""

    measurement: Measurement
    anchor: str
    index: int
    hue: int
    setting: str
    word: str
    tone: Tone
    reason: str
    expected: bool
    problems: tuple["Problem", ...]
    load_ms: float | None
    first_ms: float | None

    @property
    def engine(self) -> str:
        """Runtime at its version."""
        return self.measurement.case.engine

    @property
    def symbol(self) -> str:
        """Mark that stands beside the word."""
        return SYMBOLS[self.word]

    @property
    def title(self) -> str:
        """The case in one line."""
        return f"{self.measurement.case.model} · {self.engine} · {self.setting}"

    @property
    def latency_ms(self) -> float | None:
        """Centre of the latency interval, when the case was measured."""
        latency = self.measurement.latency
        return None if latency is None else latency.interval.centre_ms

    @property
    def latency(self) -> str:
        """Latency as text, without its unit."""
        return numbers.number(self.latency_ms)

    @property
    def interval(self) -> str:
        """Interval as text, or nothing."""
        latency = self.measurement.latency
        if latency is None:
            return ""
        return numbers.span(
            latency.interval.low_ms, latency.interval.high_ms, like=latency.interval.centre_ms
        )

    @property
    def peak(self) -> str:
        """Peak resident memory in MiB as text."""
        return numbers.number(self.measurement.peak_rss_mib)

    @property
    def parity(self) -> Literal["ok", "failed", "unknown"]:
        """Whether the outputs held their limits."""
        parity = self.measurement.parity
        if parity is None:
            return "unknown"
        return "ok" if parity.ok else "failed"

    @property
    def parity_reason(self) -> str:
        """Which outputs left their limits, and how."""
        parity = self.measurement.parity
        if parity is None:
            measured = self.measurement.status == "measured"
            return (measured and self.measurement.reason) or "outputs were not compared"
        wrong = [f"{o.name}: {o.failure or 'outside its limits'}" for o in parity.outputs if not o.ok]
        if parity.ok:
            return f"outputs agree with {parity.reference}"
        return "; ".join(wrong) or f"outputs differ from {parity.reference}"

    @property
    def change(self) -> str:
        """Signed change against the baseline, or nothing."""
        ratio = self.measurement.verdict.ratio
        return "" if ratio is None else numbers.change(ratio)


class Problem(Frozen, frozen=True, kw_only=True):
    """Something about a case that somebody should look at."""

    kind: Literal["unmeasured", "parity", "budget", "surprise"]
    word: str
    reason: str


def rows(measurements: Sequence[Measurement]) -> tuple[Row, ...]:
    """One row per measurement in the order of device and case, with anchors that are unique and stable."""
    ordered = sorted(enumerate(measurements), key=lambda pair: _order(pair[1]))
    threads = len({m.case.threads for m in measurements}) > 1
    backends = len({m.case.backend for m in measurements}) > 1
    devices = len({m.device for m in measurements}) > 1
    taken: set[str] = set()
    built = []
    for index, measurement in ordered:
        case = measurement.case
        setting = [
            case.precision,
            numbers.count(case.threads, "thread") if threads else "",
            case.backend if backends else "",
            measurement.device if devices else "",
        ]
        built.append(_row(measurement, index, _anchor(measurement, taken), " · ".join(filter(None, setting))))
    return tuple(built)


def _order(measurement: Measurement) -> tuple[str | int, ...]:
    case = measurement.case
    precision = PRECISIONS.index(case.precision)
    runtime = (case.runtime, case.runtime_version)
    return (
        measurement.emulated,
        measurement.device,
        case.model,
        *runtime,
        precision,
        case.threads,
        case.backend,
    )


def hue(runtime: str) -> int:
    """Index of a runtime's colour: fixed for the runtimes we know, stable for any other."""
    return _KNOWN_HUES.get(
        runtime, len(_KNOWN_HUES) + zlib.crc32(runtime.encode()) % (HUES - len(_KNOWN_HUES))
    )


def _row(measurement: Measurement, index: int, anchor: str, setting: str) -> Row:
    kind = measurement.verdict.kind if measurement.status == "measured" else measurement.status
    word, tone = _OF_EMULATOR if measurement.emulated and kind == "inconclusive" else _WORDS[kind]
    expected = as_expected(measurement)
    results = measurement.results
    row = Row(
        measurement=measurement,
        anchor=anchor,
        index=index,
        hue=hue(measurement.case.runtime),
        setting=setting,
        word=word,
        tone="quiet"
        if (expected and measurement.status != "measured") or measurement.not_applicable
        else tone,
        reason=_reason(measurement),
        expected=expected,
        problems=(),
        load_ms=median(r.load_s for r in results) * 1e3 if results else None,
        first_ms=median(r.first_s for r in results) * 1e3 if results else None,
    )
    return _with_problems(row)


def as_expected(measurement: Measurement) -> bool:
    """Whether the case deviates in just the way that suites/expectations.toml says."""
    if measurement.expectation is None:
        return False
    if measurement.expectation.expect == "parity":
        return measurement.parity is not None and not measurement.parity.ok
    return measurement.status == measurement.expectation.expect


def _reason(measurement: Measurement) -> str:
    own = (measurement.reason, measurement.verdict.reason)
    given: Iterable[str] = (
        # Of a case that was measured, the verdict comes first: its own reason is why it has no parity.
        *(reversed(own) if measurement.status == "measured" else own),
        *(launch.reason for launch in measurement.launches),
    )
    return next(filter(None, given), "")


def _with_problems(row: Row) -> Row:
    found = []
    measurement, budget = row.measurement, row.measurement.budget
    if not row.expected:
        # What a runtime does not offer is no trouble of this run's.
        if measurement.status != "measured" and not measurement.not_applicable:
            reason = row.reason or "no reason was recorded"
            found.append(Problem(kind="unmeasured", word=row.word, reason=reason))
        if row.parity == "failed":
            found.append(Problem(kind="parity", word="wrong outputs", reason=row.parity_reason))
        if measurement.expectation is not None:
            found.append(_surprise(row, measurement.expectation))
    if _over_latency_budget(measurement):
        reason = f"latency {row.latency} ms is over its budget of {numbers.number(budget.latency_ms)} ms"
        found.append(Problem(kind="budget", word="over budget", reason=reason))
    peak = measurement.peak_rss_mib
    if peak is not None and budget.peak_rss_mib is not None and peak > budget.peak_rss_mib:
        reason = f"peak {row.peak} MiB is over its budget of {numbers.number(budget.peak_rss_mib)} MiB"
        found.append(Problem(kind="budget", word="over budget", reason=reason))
    return msgspec.structs.replace(row, problems=tuple(found))


def _over_latency_budget(measurement: Measurement) -> bool:
    """Whether it took longer than its model may; a budget is a device's, not an emulator's."""
    latency, ceiling = measurement.latency, measurement.budget.latency_ms
    if latency is None or ceiling is None or measurement.emulated:
        return False
    return latency.interval.centre_ms > ceiling


def _surprise(row: Row, expectation: Expectation) -> Problem:
    wanted = "wrong outputs" if expectation.expect == "parity" else expectation.expect
    came = f"it ended as “{row.word}”"
    if row.measurement.status == "measured":
        outputs = {"ok": "right outputs", "failed": "wrong outputs", "unknown": "outputs nobody compared"}
        came = f"it was measured with {outputs[row.parity]}"
    reason = (
        f"listed as expected “{wanted}” ({expectation.reason}), but {came}: mend the list of expectations"
    )
    return Problem(kind="surprise", word="not as expected", reason=reason)


def _anchor(measurement: Measurement, taken: set[str]) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", f"case-{measurement.device}-{measurement.case.key}").strip("-")
    anchor, number = plain, 1
    while anchor in taken:
        number += 1
        anchor = f"{plain}-{number}"
    taken.add(anchor)
    return anchor
