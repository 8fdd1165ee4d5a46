"""The report: one HTML file with everything in it, for a run's measurements."""

import base64
import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import jinja2
import msgspec

from harness.spec import Measurement, RunInfo
from reports import numbers, overview, tradeoffs
from reports.detail import Point, detail
from reports.tables import EXPORT_COLUMNS, export_rows
from reports.view import Row, rows

_TEMPLATES = Path(__file__).parent / "templates"
_FINE_BELOW_NS = 1_000_000


def render_page(
    info: RunInfo,
    measurements: Sequence[Measurement],
    *,
    history: Mapping[str, Sequence[Point]] | None = None,
) -> str:
    """Return the report of one run as a complete HTML document that loads nothing from anywhere.

    `history` maps `history_key(measurement)` to earlier latencies of that case, oldest first.
    The same arguments give the same bytes.
    """
    shown = rows(measurements)
    earlier = history or {}
    scripts = [(_TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.js", "strip.js")]
    changed, changed_axis = overview.changes(shown, frozenset({"regressed", "improved"}))
    unclear, unclear_axis = overview.changes(shown, frozenset({"inconclusive", "invalid"}))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            info=info,
            rows=shown,
            details={row.anchor: detail(row, earlier.get(history_key(row.measurement), ())) for row in shown},
            banner=overview.banner(info, shown),
            changed=changed,
            changed_axis=changed_axis,
            unclear=unclear,
            unclear_axis=unclear_axis,
            troubled=[row for row in shown if row.problems],
            matrices=overview.matrices(shown),
            latency_panels=overview.panels(shown, "latency"),
            memory_panels=overview.panels(shown, "memory"),
            trade_offs=tradeoffs.panels(shown),
            expected=[row for row in shown if row.expected],
            devices=_devices(shown),
            choices=_choices(shown),
            runtimes=sorted({(row.measurement.case.runtime, row.hue) for row in shown}),
            confidence=next((m.latency.interval.confidence for m in measurements if m.latency), 0.95),
            argv=shlex.join(info.argv),
            css=(_TEMPLATES / "page.css").read_text(encoding="utf-8"),
            scripts=scripts,
            script_hashes=[_content_hash(script) for script in scripts],
            data=_script_safe(embedded(info, measurements)),
        )
    )


def write_page(
    path: Path,
    info: RunInfo,
    measurements: Sequence[Measurement],
    *,
    history: Mapping[str, Sequence[Point]] | None = None,
) -> None:
    """Write the report to `path`: whole or not at all, readers never see half a page."""
    page = render_page(info, measurements, history=history)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
    ) as out:
        part = Path(out.name)
        try:
            out.write(page)
            out.flush()
            os.fsync(out.fileno())
            part.chmod(0o644)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def history_key(measurement: Measurement) -> str:
    """Key of a case's trend: the same case on the same hardware."""
    return f"{measurement.device_fingerprint}/{measurement.case.key}"


def embedded(info: RunInfo, measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Everything the page was made from, as plain data; this is what its JSON download holds.

    Samples are microseconds, whole from one millisecond on and with two decimals below that, so that none
    loses more than a thousandth. `gaps_us` is the time from the end of the sample before to each start.
    """
    return {
        "run": msgspec.to_builtins(info),
        "columns": EXPORT_COLUMNS,
        "table": [list(row.values()) for row in export_rows(measurements)],
        "measurements": [_compact(measurement) for measurement in measurements],
    }


def _compact(measurement: Measurement) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(measurement)
    for launch in data["launches"]:
        result = launch["result"]
        if result is None:
            continue
        samples, started = result.pop("samples_ns"), result.pop("started_ns")
        ends = [start + sample for start, sample in zip(started, samples, strict=False)]
        result["samples_us"] = _microseconds(samples)
        result["gaps_us"] = [0, *(round((b - a) / 1e3) for a, b in zip(ends, started[1:], strict=False))]
        result["warmup"]["samples_us"] = _microseconds(result["warmup"].pop("samples_ns"))
    return data


def _microseconds(samples_ns: Sequence[int]) -> list[float]:
    if samples_ns and min(samples_ns) < _FINE_BELOW_NS:
        return [round(sample / 1e3, 2) for sample in samples_ns]
    return [round(sample / 1e3) for sample in samples_ns]


def _script_safe(data: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in, whatever names it holds."""
    text = msgspec.json.encode(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _content_hash(script: str) -> str:
    """Hash of an inline script as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _devices(shown: Sequence[Row]) -> list[dict[str, Any]]:
    """Each device once, with its facts; facts that changed within a run are told again."""
    found: dict[str, dict[str, Any]] = {}
    for row in shown:
        measurement = row.measurement
        facts = json.dumps(measurement.facts, default=str)
        key = f"{measurement.device} {measurement.device_fingerprint} {facts}"
        found.setdefault(
            key,
            {
                "name": measurement.device,
                "fingerprint": measurement.device_fingerprint,
                "emulated": measurement.emulated,
                "facts": numbers.pairs(measurement.facts),
            },
        )
    return list(found.values())


def _choices(shown: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """The filters above the table of all cases: (key, label, values), only those with a choice to make."""
    offered = (
        ("device", "Device", {row.measurement.device for row in shown}),
        ("model", "Model", {row.measurement.case.model for row in shown}),
        ("runtime", "Runtime", {row.engine for row in shown}),
        ("precision", "Precision", {row.measurement.case.precision for row in shown}),
        ("verdict", "Verdict", {row.word for row in shown}),
        ("parity", "Parity", {row.parity for row in shown}),
    )
    return [(key, label, sorted(values)) for key, label, values in offered if len(values) > 1]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(numbers=numbers)
    environment.filters["when"] = lambda stamp: stamp.replace("T", " ")[:16] if stamp else numbers.UNKNOWN
    return environment
