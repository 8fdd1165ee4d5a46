"""What the page tells of one case when it is opened: launches, parity, command, artifact, bundle. No IO."""

import json
import shlex
from collections.abc import Callable, Sequence
from statistics import median

from harness.spec import DeviceState, Frozen, LaunchResult, MemoryUse, OutputParity, Parity, RunnerResult
from reports import numbers
from reports.numbers import UNKNOWN
from reports.view import Row


class Line(Frozen, frozen=True, kw_only=True):
    """One fact of every launch: its name, what it means, a text per launch."""

    name: str
    hint: str
    values: tuple[str, ...]


class Stage(Frozen, frozen=True, kw_only=True):
    """Resident memory at one stage of the hungriest launch; `share` is per cent of its peak."""

    name: str
    text: str
    share: float


class Judged(Frozen, frozen=True, kw_only=True):
    """One parity figure of one output; `held` is None where there was no limit or no figure."""

    text: str
    held: bool | None


class OutputRow(Frozen, frozen=True, kw_only=True):
    """One output's parity figures in the order of the columns."""

    output: OutputParity
    figures: tuple[Judged, ...]


class ParityTable(Frozen, frozen=True, kw_only=True):
    """Parity columns as (name, limit text), and a row per output."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[OutputRow, ...]


class Point(Frozen, frozen=True, kw_only=True):
    """An earlier run's latency of a case, for its trend."""

    run_id: str
    started_at: str
    latency_ms: float
    low_ms: float | None = None
    high_ms: float | None = None


class Trend(Frozen, frozen=True, kw_only=True):
    """Earlier latencies and today's as places on a 100 x 30 drawing, and the texts at its ends."""

    points: str
    oldest: str
    lowest: str
    highest: str
    runs: int


class Detail(Frozen, frozen=True, kw_only=True):
    """Everything in a case's drill-down that is not in its row."""

    launches: tuple[LaunchResult, ...]
    lines: tuple[Line, ...]
    stages: tuple[Stage, ...]
    parity: ParityTable | None
    command: str
    reproduce: str
    options: str
    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    trend: Trend | None
    has_samples: bool


def detail(row: Row, earlier: Sequence[Point] = ()) -> Detail:
    """What the drill-down of `row` shows; `earlier` are the same case's latencies, oldest first."""
    measurement = row.measurement
    artifact = measurement.artifact
    return Detail(
        launches=measurement.launches,
        lines=_lines(measurement.launches),
        stages=_stages(measurement.results),
        parity=None if measurement.parity is None else _parity(measurement.parity),
        command=shlex.join(measurement.command),
        reproduce=_reproduce(row),
        options=json.dumps(artifact.options, sort_keys=True, default=str) if artifact else "",
        before=numbers.pairs(measurement.telemetry_before),
        after=numbers.pairs(measurement.telemetry_after),
        trend=_trend(row, earlier),
        has_samples=any(result.samples_ns for result in measurement.results),
    )


def _reproduce(row: Row) -> str:
    measurement, case = row.measurement, row.measurement.case
    return shlex.join(
        [
            "pytest",
            "suites/",
            f"--device={measurement.device}",
            f"--model={case.model}",
            f"--runtime={case.engine}",
            f"--precision={case.precision}",
            f"--threads={case.threads}",
            f"--effort={measurement.effort}",
        ]
    )


def _milliseconds(seconds: float) -> str:
    return f"{numbers.number(seconds * 1e3)} ms"


def _median(samples_ns: Sequence[int]) -> str:
    return f"{numbers.number(median(samples_ns) / 1e6)} ms" if samples_ns else UNKNOWN


def _p90(samples_ns: Sequence[int]) -> str:
    if not samples_ns:
        return UNKNOWN
    ordered = sorted(samples_ns)
    return f"{numbers.number(ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))] / 1e6)} ms"


def _warmup(result: RunnerResult) -> str:
    settled = "settled" if result.warmup.settled else "NOT settled"
    return f"{numbers.count(len(result.warmup.samples_ns), 'iteration')}, {settled}"


def _threads(result: RunnerResult) -> str:
    return f"{result.threads_asked} asked, {numbers.plain(result.threads_obtained)} obtained"


def _cores_busy(result: RunnerResult) -> str:
    if result.cpu_time_s is None or not result.timed_wall_s:
        return UNKNOWN
    return f"{result.cpu_time_s / result.timed_wall_s:.2f}"


def _hottest(state: DeviceState) -> str:
    hottest = max(state.temperatures_celsius.values(), default=None)
    return UNKNOWN if hottest is None else f"{hottest:.0f} °C"


def _fastest(state: DeviceState) -> str:
    fastest = max(state.frequencies_khz.values(), default=None)
    return UNKNOWN if fastest is None else f"{fastest / 1e6:.2f} GHz"


def _load(result: RunnerResult) -> str:
    return (
        f"{numbers.plain(result.state_start.load_average)} → {numbers.plain(result.state_end.load_average)}"
    )


_FACTS: tuple[tuple[str, str, Callable[[RunnerResult], str]], ...] = (
    ("Median", "middle of the timed iterations", lambda r: _median(r.samples_ns)),
    ("p90", "nine of ten iterations were faster", lambda r: _p90(r.samples_ns)),
    ("Fastest", "", lambda r: f"{numbers.number(min(r.samples_ns) / 1e6)} ms" if r.samples_ns else UNKNOWN),
    ("Timed iterations", "", lambda r: f"{len(r.samples_ns):,}"),
    ("Warm-up", "until the median settled, or its cap", _warmup),
    ("Import", "loading the runtime itself", lambda r: _milliseconds(r.import_s)),
    ("Load", "from artifact to ready session", lambda r: _milliseconds(r.load_s)),
    ("First inference", "", lambda r: _milliseconds(r.first_s)),
    ("Threads", "", _threads),
    ("CPU affinity", "cores the process could run on", lambda r: numbers.plain(r.affinity)),
    ("Cores busy", "CPU time over wall time while timed", _cores_busy),
    (
        "Involuntary switches",
        "times the system took the CPU away",
        lambda r: numbers.plain(r.involuntary_switches),
    ),
    ("Voluntary switches", "", lambda r: numbers.plain(r.voluntary_switches)),
    ("Hottest sensor", "start → end", lambda r: f"{_hottest(r.state_start)} → {_hottest(r.state_end)}"),
    ("Highest clock", "start → end", lambda r: f"{_fastest(r.state_start)} → {_fastest(r.state_end)}"),
    ("Load average", "start → end", _load),
    ("Runtime reports", "version it says it is", lambda r: r.runtime_version),
    ("Backend", "", lambda r: r.backend or UNKNOWN),
    ("Python", "", lambda r: r.python or UNKNOWN),
)


def _lines(launches: Sequence[LaunchResult]) -> tuple[Line, ...]:
    lines = [Line(name="Ended", hint="", values=tuple(_ending(launch) for launch in launches))]
    if any(launch.result for launch in launches):
        for name, hint, text in _FACTS:
            values = tuple(UNKNOWN if launch.result is None else text(launch.result) for launch in launches)
            if any(value.strip(f" {UNKNOWN}→") for value in values):
                lines.append(Line(name=name, hint=hint, values=values))
    wall = tuple(numbers.duration(launch.wall_s) for launch in launches)
    return (*lines, Line(name="Process lived", hint="", values=wall))


def _ending(launch: LaunchResult) -> str:
    if launch.status == "measured":
        return "well"
    parts = [
        launch.status,
        f"in {launch.stage}" if launch.stage else "",
        launch.signal or "",
        f"exit {launch.exit_code}" if launch.exit_code else "",
    ]
    return ", ".join(filter(None, parts))


_STAGES = (
    ("before import", "before_import_rss_bytes"),
    ("before load", "before_load_rss_bytes"),
    ("after load", "after_load_rss_bytes"),
    ("after first inference", "after_first_rss_bytes"),
    ("peak (VmHWM)", "peak_rss_bytes"),
    ("PSS", "pss_bytes"),
)


def _stages(results: Sequence[RunnerResult]) -> tuple[Stage, ...]:
    if not results:
        return ()
    memory: MemoryUse = max((r.memory for r in results), key=lambda m: m.peak_rss_bytes or 0)
    known = [(name, value) for name, field in _STAGES if (value := getattr(memory, field)) is not None]
    top = max((value for _, value in known), default=0) or 1
    return tuple(
        Stage(name=name, text=f"{numbers.mebibytes(value)} MiB", share=round(100 * value / top, 1))
        for name, value in known
    )


def _parity(parity: Parity) -> ParityTable:
    limits = parity.limits
    columns = (
        ("max diff", "max_abs", None, ""),
        ("max rel", "max_rel", limits.max_rel, "≤"),
        ("cosine", "cosine", limits.cosine, "≥"),
        ("SNR dB", "snr_db", limits.snr_db, "≥"),
        ("top-k", "top_k", limits.top_k, "≥"),
    )
    used = [
        c for c in columns if c[2] is not None or any(getattr(o, c[1]) is not None for o in parity.outputs)
    ]
    rows = [
        OutputRow(
            output=output,
            figures=tuple(_judged(getattr(output, field), limit, sign) for _, field, limit, sign in used),
        )
        for output in parity.outputs
    ]
    heads = tuple(
        (name, f"{sign} {numbers.figure(limit)}" if limit is not None else "")
        for name, _, limit, sign in used
    )
    return ParityTable(columns=heads, rows=tuple(rows))


def _judged(value: float | None, limit: float | None, sign: str) -> Judged:
    held = None
    if value is not None and limit is not None:
        held = value <= limit if sign == "≤" else value >= limit
    return Judged(text=numbers.figure(value), held=held)


def _trend(row: Row, earlier: Sequence[Point]) -> Trend | None:
    if not earlier or row.latency_ms is None:
        return None
    values = [*(point.latency_ms for point in earlier), row.latency_ms]
    low, high = min(values), max(values)
    room = (high - low) or 1.0
    places = [
        (round(2 + 96 * i / (len(values) - 1), 2), round(27 - 24 * (value - low) / room, 2))
        for i, value in enumerate(values)
    ]
    return Trend(
        points=" ".join(f"{x},{y}" for x, y in places),
        oldest=earlier[0].started_at[:10],
        lowest=numbers.number(low),
        highest=numbers.number(high),
        runs=len(values),
    )
