"""What the reader of a figure should know of the device's state: told beside a verdict, never deciding it."""

from typing import Any

from harness.spec import Measurement


def conditions(measurement: Measurement, baseline: Measurement | None = None) -> list[str]:
    """A sentence for each thing worth knowing, of `measurement` itself and of how `baseline` differs.

    A reading that is not there says nothing.
    """
    told = (_busy(measurement), _screen(measurement), _charging(measurement, baseline))
    return [text for text in told if text]


def _busy(measurement: Measurement) -> str:
    # The load average of a phone at rest can exceed its cores, so it is told and not judged.
    load, cores = measurement.telemetry_before.get("load_average"), measurement.facts.get("cores")
    if isinstance(load, int | float) and isinstance(cores, int) and load > cores:
        return f"the device was busy (load {load:.1f} on {cores} cores)"
    return ""


def _screen(measurement: Measurement) -> str:
    before, after = _both(measurement, "screen_on")
    if before is False:
        return "the screen was off, which can slow big cores"
    if after is False:
        return "the screen went off meanwhile, which can slow big cores"
    return ""


def _charging(measurement: Measurement, baseline: Measurement | None) -> str:
    before, after = _both(measurement, "charging")
    if None not in (before, after) and before is not after:
        return f"the device {'began' if after else 'ceased'} to charge meanwhile"
    theirs = None if baseline is None else _both(baseline, "charging")[0]
    if None not in (before, theirs) and before is not theirs:
        now, then = ("was", "was not") if before else ("was not", "was")
        return f"the device {now} charging, in the baseline it {then}"
    return ""


def _both(measurement: Measurement, reading: str) -> tuple[Any, Any]:
    """A reading before and after; None where there is none."""
    return measurement.telemetry_before.get(reading), measurement.telemetry_after.get(reading)
