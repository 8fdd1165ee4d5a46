"""The page's summaries over all rows: the headline, the changes, the matrix and the panels of bars. No IO."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from harness.spec import PRECISIONS, Frozen, RunInfo
from reports import numbers
from reports.figures import Bar, bar_panel
from reports.view import Row, Tone


class Tally(Frozen, frozen=True, kw_only=True):
    """A count with its word and the place on the page that lists what was counted."""

    amount: int
    word: str
    tone: Tone
    href: str


class Banner(Frozen, frozen=True, kw_only=True):
    """The first thing read: what changed, in a sentence, and the counts behind it."""

    tone: Tone
    headline: str
    detail: str
    tallies: tuple[Tally, ...]


class Change(Frozen, frozen=True, kw_only=True):
    """A row with its change drawn as an interval; places are per cent of the axis' width."""

    row: Row
    baseline: str
    interval: str
    left: float
    width: float
    dot: float


class Cell(Frozen, frozen=True, kw_only=True):
    """One cell of the matrix; `share` is the latency over the slowest in its row."""

    row: Row
    rank: Literal["best", "tie", ""] = ""
    share: float = 0.0


class MatrixRow(Frozen, frozen=True, kw_only=True):
    """One setting of a model across the runtimes; None where nothing was planned."""

    label: str
    cells: tuple[Cell | None, ...]


class Matrix(Frozen, frozen=True, kw_only=True):
    """The model x runtime table of one device."""

    device: str
    emulated: bool
    engines: tuple[tuple[str, str, int], ...]
    models: tuple[tuple[str, tuple[MatrixRow, ...]], ...]


class Panel(Frozen, frozen=True, kw_only=True):
    """Bars of one model on one device."""

    model: str
    device: str
    emulated: bool
    svg: str


def banner(info: RunInfo, rows: Sequence[Row]) -> Banner:
    """The run in one sentence; red when something got slower, wrong or lost without being expected."""
    counted = ("regressed", "improved", "unchanged", "new", "not judged")
    words = {word: sum(row.word == word for row in rows) for word in counted}
    unclear = sum(row.word in {"inconclusive", "invalid"} for row in rows)
    problems = [problem.kind for row in rows for problem in row.problems]
    measured = sum(row.measurement.status == "measured" for row in rows)
    planned = max(info.planned, len(rows))
    tallies = (
        Tally(amount=words["regressed"], word="regressed", tone="bad", href="#changes"),
        Tally(amount=words["improved"], word="improved", tone="good", href="#changes"),
        Tally(amount=problems.count("unmeasured"), word="not measured", tone="bad", href="#problems"),
        Tally(amount=problems.count("parity"), word="wrong outputs", tone="bad", href="#problems"),
        Tally(amount=problems.count("surprise"), word="not as expected", tone="bad", href="#problems"),
        Tally(amount=problems.count("budget"), word="over budget", tone="warn", href="#problems"),
        Tally(amount=unclear, word="inconclusive or invalid", tone="warn", href="#unclear"),
        Tally(amount=words["unchanged"], word="unchanged", tone="quiet", href="#all"),
        Tally(amount=words["new"], word="without baseline", tone="quiet", href="#all"),
        Tally(amount=words["not judged"], word="emulated, not judged", tone="quiet", href="#all"),
        Tally(amount=sum(row.expected for row in rows), word="expected", tone="quiet", href="#expected"),
        Tally(
            amount=sum(row.measurement.not_applicable for row in rows),
            word="not offered",
            tone="quiet",
            href="#all",
        ),
        Tally(amount=planned - len(rows), word="not reached", tone="warn", href="#method"),
    )
    shown = tuple(tally for tally in tallies if tally.amount)
    devices = " and ".join(info.devices) or "no device"
    took = f" in {numbers.duration(sum(row.measurement.seconds for row in rows))}" if rows else ""
    return Banner(
        tone=_tone(words, problems, unclear, measured),
        headline=_headline(words, unclear, measured),
        detail=f"{measured} of {numbers.count(planned, 'case')} measured on {devices}{took}.",
        tallies=shown,
    )


def _tone(words: dict[str, int], problems: Sequence[str], unclear: int, measured: int) -> Tone:
    if words["regressed"] or set(problems) - {"budget"}:
        return "bad"
    if problems or unclear:
        return "warn"
    return "good" if words["unchanged"] or words["improved"] else "quiet" if measured else "warn"


def _headline(words: dict[str, int], unclear: int, measured: int) -> str:
    if not measured:
        return "Nothing was measured"
    changed = [
        f"{numbers.count(words[word], 'case')} {text}"
        for word, text in (("regressed", "got slower"), ("improved", "got faster"))
        if words[word]
    ]
    if changed:
        return ", ".join(changed)
    if unclear > words["unchanged"]:
        return "Too noisy to say what changed"
    if words["unchanged"]:
        return "No change shown" if unclear else "No latency changed"
    return "First figures, no baseline yet" if words["new"] else "No change could be judged"


def changes(rows: Sequence[Row], words: frozenset[str]) -> tuple[tuple[Change, ...], tuple[str, str]]:
    """Rows whose word is in `words`, worst first, on one axis of ratios; and the texts at its ends."""
    chosen = [row for row in rows if row.word in words]
    chosen.sort(key=lambda row: -(row.measurement.verdict.ratio or 1.0))
    bounds = [bound for row in chosen for bound in _bounds(row) if bound > 0]
    reach = max((abs(math.log(bound)) for bound in bounds), default=0.0) * 1.08
    reach = min(max(reach, math.log(1.05)), math.log(4))
    built = []
    for row in chosen:
        low, ratio, high = (_place(bound, reach) for bound in _bounds(row))
        verdict = row.measurement.verdict
        known = verdict.ratio is not None and verdict.ratio > 0 and row.latency_ms is not None
        interval = ""
        if verdict.ratio_low is not None and verdict.ratio_high is not None:
            interval = f"{numbers.change(verdict.ratio_low)} … {numbers.change(verdict.ratio_high)}"
        before = row.latency_ms / verdict.ratio if known and row.latency_ms and verdict.ratio else None
        built.append(
            Change(
                row=row,
                baseline=numbers.number(before),
                interval=interval,
                left=low,
                width=round(high - low, 2),
                dot=ratio,
            )
        )
    return tuple(built), (numbers.change(math.exp(-reach)), numbers.change(math.exp(reach)))


def _bounds(row: Row) -> tuple[float, float, float]:
    verdict = row.measurement.verdict
    ratio = verdict.ratio or 1.0
    return verdict.ratio_low or ratio, ratio, verdict.ratio_high or ratio


def _place(ratio: float, reach: float) -> float:
    clipped = min(max(math.log(ratio), -reach), reach) if ratio > 0 else -reach
    return round(50 + 50 * clipped / reach, 2)


def matrices(rows: Sequence[Row]) -> tuple[Matrix, ...]:
    """One matrix per device; of several measurements of one case the last counts."""
    return tuple(
        _matrix(device, tuple(members))
        for device, members in groupby(rows, key=lambda r: r.measurement.device)
    )


def _matrix(device: str, rows: Sequence[Row]) -> Matrix:
    cases = [row.measurement.case for row in rows]
    engines = sorted({(case.runtime, case.runtime_version) for case in cases})
    hues = {row.measurement.case.runtime: row.hue for row in rows}
    threads = len({case.threads for case in cases}) > 1
    backends = len({case.backend for case in cases}) > 1
    at = {
        (c.model, c.precision, c.threads, c.backend, c.runtime, c.runtime_version): r
        for c, r in zip(cases, rows, strict=True)
    }
    lines = sorted({key[:4] for key in at}, key=lambda key: (key[0], PRECISIONS.index(key[1]), key[2:]))
    models = []
    for model, members in groupby(lines, key=lambda key: key[0]):
        built = []
        for line in members:
            label = [
                line[1],
                numbers.count(line[2], "thread") if threads else "",
                line[3] if backends else "",
            ]
            cells = ranked([at.get((*line, *engine)) for engine in engines])
            built.append(MatrixRow(label=" · ".join(filter(None, label)), cells=cells))
        models.append((model, tuple(built)))
    return Matrix(
        device=device,
        emulated=any(row.measurement.emulated for row in rows),
        engines=tuple((runtime, version, hues[runtime]) for runtime, version in engines),
        models=tuple(models),
    )


def ranked(rows: Sequence[Row | None]) -> tuple[Cell | None, ...]:
    """Cells of one line: the fastest with right outputs is best, rivals whose interval meets its own tie.

    An emulator's times say nothing of a device's, so there is no best among them.
    """
    timed = [row for row in rows if row and row.measurement.latency and not row.measurement.emulated]
    rivals = [row for row in timed if row.parity != "failed"]
    best = min(rivals, key=lambda row: row.latency_ms or 0.0, default=None)
    slowest = max((row.latency_ms or 0.0 for row in rows if row), default=0.0)
    return tuple(
        None
        if row is None
        else Cell(
            row=row,
            rank=_rank(row, best) if len(rivals) > 1 and row in rivals else "",
            share=round(100 * (row.latency_ms or 0.0) / slowest, 1) if slowest else 0.0,
        )
        for row in rows
    )


def _rank(row: Row, best: Row | None) -> Literal["best", "tie", ""]:
    if row is best:
        return "best"
    mine, its = row.measurement.latency, best.measurement.latency if best else None
    return "tie" if mine and its and mine.interval.low_ms <= its.interval.high_ms else ""


def panels(rows: Sequence[Row], what: Literal["latency", "memory"]) -> tuple[Panel, ...]:
    """One panel of bars per device and model that has at least one measured case.

    What a machine or runtime does not offer has no bar: with every precision asked for it is half of them.
    """
    built = []
    offered = (row for row in rows if not row.measurement.not_applicable)
    for (device, model), members in groupby(
        offered, key=lambda r: (r.measurement.device, r.measurement.case.model)
    ):
        chosen = tuple(members)
        bars = [_latency_bar(row) if what == "latency" else _memory_bar(row) for row in chosen]
        if not any(bar.value is not None for bar in bars):
            continue
        emulated = any(row.measurement.emulated for row in chosen)
        title = f"{what} of {model} on {device}{' (emulated)' if emulated else ''}"
        svg = bar_panel(bars, title=title)
        built.append(Panel(model=model, device=device, emulated=emulated, svg=svg))
    return tuple(built)


def _latency_bar(row: Row) -> Bar:
    latency = row.measurement.latency
    if latency is None:
        return _bar(row, text=row.word)
    text = f"{row.latency} ms{'' if row.parity != 'failed' else ' ✗'}"
    interval = latency.interval
    return _bar(row, text=text, value=interval.centre_ms, low=interval.low_ms, high=interval.high_ms)


def _memory_bar(row: Row) -> Bar:
    peak = row.measurement.peak_rss_mib
    return _bar(row, text=row.word) if peak is None else _bar(row, text=f"{row.peak} MiB", value=peak)


def _bar(
    row: Row, *, text: str, value: float | None = None, low: float | None = None, high: float | None = None
) -> Bar:
    case = row.measurement.case
    setting = row.setting.removesuffix(f" · {row.measurement.device}").split(" · ")
    label = [setting[0], *(part.replace(" threads", "t").replace(" thread", "t") for part in setting[1:])]
    return Bar(
        group=case.engine + (" · emulated" if row.measurement.emulated else ""),
        label=" ".join(label),
        hue=row.hue,
        text=text,
        value=value,
        low=low,
        high=high,
        faint=row.measurement.emulated or row.parity == "failed",
    )
