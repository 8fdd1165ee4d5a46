"""Measurements as tables: one flat row each for export, and one compact comparison for the terminal."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal, NamedTuple

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from harness.spec import PRECISIONS, Measurement
from reports.numbers import UNKNOWN, number

Value = str | int | float | bool | None

EXPORT_COLUMNS = (
    "device",
    "model",
    "runtime",
    "runtime_version",
    "precision",
    "threads",
    "launches",
    "latency_ms_median",
    "latency_ms_p90",
    "latency_ms_min",
    "load_ms",
    "first_ms",
    "peak_rss_mib",
    "parity_ok",
    "parity_cosine",
    "parity_max_rel",
    "parity_snr_db",
    "verdict",
)

VERDICT_ORDER = (
    "regressed",
    "crashed",
    "timeout",
    "failed",
    "unsupported",
    "invalid",
    "inconclusive",
    "improved",
    "new",
    "ok",
)
"""What needs looking at comes first."""

_STYLES = {"crashed": "red", "timeout": "red", "failed": "red", "unsupported": "dim"}
_BEST, _WRONG, _KNOWN, _INVALID, _EMULATED = "*", "≠", "(known)", "(invalid)", "(emulated)"
_LEGEND = {
    _BEST: "best in its row",
    _WRONG: "output differs from the reference",
    _KNOWN: "expected, see suites/expectations.toml",
    _INVALID: "the device was not fit to measure",
    UNKNOWN: "not offered by this runtime, or not here",
}


def export_rows(measurements: Iterable[Measurement]) -> list[dict[str, Value]]:
    """One row for each measurement with exactly EXPORT_COLUMNS; None where there is no figure.

    Latency figures are those of all launches, load and first inference the median over launches, parity
    figures those of the worst output.
    """
    return [_export_row(measurement) for measurement in measurements]


def to_csv(measurements: Iterable[Measurement]) -> str:
    """CSV with a header line; no figure is an empty field, a truth is `true` or `false`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, EXPORT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in export_rows(measurements):
        writer.writerow({name: _csv_value(value) for name, value in row.items()})
    return stream.getvalue()


def to_jsonl(measurements: Iterable[Measurement]) -> str:
    """One JSON object a line, keys in the order of EXPORT_COLUMNS."""
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in export_rows(measurements))


def comparative_table(measurements: Sequence[Measurement]) -> Table:
    """Models down, runtimes across, median latency in the cells.

    Best is the fastest of a row among those with right outputs, when there is something to compare; an
    emulator's times say nothing of a device's, so there is no best among them.
    Threads, backend and device are columns when there are several of them, else said once below. A cell's
    later measurement replaces an earlier one.
    """
    newest = {(m.device, m.case.key): m for m in measurements}
    cells: dict[_Row, dict[tuple[str, str], Measurement]] = {}
    for measurement in newest.values():
        case = measurement.case
        engine = (case.runtime, case.runtime_version)
        cells.setdefault(_row(measurement), {})[engine] = measurement
    engines = sorted({engine for row in cells.values() for engine in row}, key=_engine_order)
    several = [
        name for name in ("device", "threads", "backend") if len({getattr(r, name) for r in cells}) > 1
    ]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("precision")
    for name in several:
        words = [word for row in cells for word in str(getattr(row, name)).split()]
        justify: Literal["left", "right"] = "right" if name == "threads" else "left"
        table.add_column(name, justify=justify, overflow="fold", min_width=min(max(map(len, words)), 14))
    for engine in engines:
        header = _engine_header(engine, engines)
        table.add_column(header, justify="right", min_width=min(len(header), 14))
    marks: set[str] = set()
    for row in sorted(cells, key=_row_order):
        best = _best(cells[row].values())
        shown = [_cell(cells[row].get(engine), best, marks) for engine in engines]
        given = [Text(str(getattr(row, name))) for name in several]
        table.add_row(Text(row.model), Text(row.precision), *given, *shown)
    table.caption = _caption(list(cells), several, marks)
    return table


def verdict_counts(measurements: Iterable[Measurement]) -> str:
    """One line such as `1 regressed, 2 unsupported (known), 12 ok; 1 with wrong output`."""
    counts: Counter[tuple[int, str]] = Counter()
    wrong = 0
    for measurement in measurements:
        known = measurement.expectation is not None
        counts[_counted_as(measurement)] += 1
        wrong += _is_wrong(measurement) and not known
    if not counts:
        return "nothing measured"
    line = ", ".join(f"{counts[item]} {item[1]}" for item in sorted(counts))
    return f"{line}; {wrong} with wrong output" if wrong else line


def _counted_as(measurement: Measurement) -> tuple[int, str]:
    if measurement.not_applicable:
        return len(VERDICT_ORDER), "not applicable"
    kind = measurement.verdict.kind
    if measurement.emulated and kind == "inconclusive":
        return len(VERDICT_ORDER), f"not judged {_EMULATED}"
    known = measurement.expectation is not None and measurement.status != "measured"
    return VERDICT_ORDER.index(kind), f"{kind} {_KNOWN}" if known else kind


class _Row(NamedTuple):
    model: str
    precision: str
    threads: int
    backend: str
    device: str


def _export_row(measurement: Measurement) -> dict[str, Value]:
    case, latency, parity = measurement.case, measurement.latency, measurement.parity
    results = measurement.results
    return {
        "device": measurement.device,
        "model": case.model,
        "runtime": case.runtime,
        "runtime_version": case.runtime_version,
        "precision": case.precision,
        "threads": case.threads,
        "launches": len(results),
        "latency_ms_median": latency.interval.centre_ms if latency else None,
        "latency_ms_p90": latency.p90_ms if latency else None,
        "latency_ms_min": latency.min_ms if latency else None,
        "load_ms": 1e3 * median(r.load_s for r in results) if results else None,
        "first_ms": 1e3 * median(r.first_s for r in results) if results else None,
        "peak_rss_mib": measurement.peak_rss_mib,
        "parity_ok": parity.ok if parity else None,
        "parity_cosine": parity.worst("cosine") if parity else None,
        "parity_max_rel": parity.worst("max_rel") if parity else None,
        "parity_snr_db": parity.worst("snr_db") if parity else None,
        "verdict": measurement.verdict.kind,
    }


def _csv_value(value: Value) -> Value:
    return str(value).lower() if isinstance(value, bool) else value


def _row(measurement: Measurement) -> _Row:
    case = measurement.case
    device = f"{measurement.device} (emulated)" if measurement.emulated else measurement.device
    return _Row(case.model, case.precision, case.threads, case.backend, device)


def _row_order(row: _Row) -> tuple[str, int, int, str, str]:
    return (row.model, PRECISIONS.index(row.precision), row.threads, row.backend, row.device)


def _engine_order(engine: tuple[str, str]) -> tuple[str, list[tuple[int, str]]]:
    # Numbers as numbers, so that 1.9 comes before 1.10.
    parts = re.findall(r"\d+|[^\d.]+", engine[1])
    return engine[0], [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _engine_header(engine: tuple[str, str], engines: Sequence[tuple[str, str]]) -> Text:
    runtime, version = engine
    several = sum(1 for other, _ in engines if other == runtime) > 1
    return Text(f"{runtime}@{version}" if several else runtime)


def _best(measurements: Iterable[Measurement]) -> Measurement | None:
    timed = [m for m in measurements if m.latency and not m.emulated]
    fit = [m for m in timed if not _is_wrong(m) and m.verdict.kind != "invalid"]
    return min(fit, key=_centre_ms) if len(fit) > 1 else None


def _centre_ms(measurement: Measurement) -> float:
    return measurement.latency.interval.centre_ms if measurement.latency else float("inf")


def _is_wrong(measurement: Measurement) -> bool:
    return measurement.parity is not None and not measurement.parity.ok


def _cell(measurement: Measurement | None, best: Measurement | None, marks: set[str]) -> Text:
    if measurement is None:
        return Text("")
    if measurement.not_applicable:
        marks.add(UNKNOWN)
        return Text(UNKNOWN, style="dim")
    # Signs before the figure, so that figures stay under each other; words behind it.
    signs = [_BEST] * (measurement is best) + [_WRONG] * _is_wrong(measurement)
    words = [_INVALID] * (measurement.verdict.kind == "invalid")
    if measurement.expectation and (measurement.status != "measured" or _is_wrong(measurement)):
        words.append(_KNOWN)
    marks.update(signs, words)
    if measurement.latency and measurement.status == "measured":
        word, style = f"{number(_centre_ms(measurement))} ms", "bold green" if measurement is best else ""
    else:
        word = measurement.verdict.kind if measurement.status == "measured" else measurement.status
        style = "dim" if measurement.expectation else _STYLES.get(word, "")
    return Text(" ".join([*signs, word, *words]), style=style)


def _caption(rows: Sequence[_Row], several: Sequence[str], marks: set[str]) -> Text | None:
    if not rows:
        return None
    first, parts = rows[0], []
    if "device" not in several:
        parts.append(f"on {first.device}")
    if "threads" not in several:
        parts.append(f"{first.threads} thread{'s' if first.threads != 1 else ''}")
    if "backend" not in several and first.backend != "cpu":
        parts.append(first.backend)
    legend = [f"{mark} {meaning}" for mark, meaning in _LEGEND.items() if mark in marks]
    return Text("\n".join([", ".join(parts)] * bool(parts) + ["; ".join(legend)] * bool(legend)))
