"""How figures are spelled for people: three significant digits, units with a space, a dash for unknown."""

from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "\N{EN DASH}"
"""Stands where a reading does not exist."""

MIB = 2**20


def decimals(value: float) -> int:
    """Digits after the point that leave about three significant ones."""
    return next((d for limit, d in ((100, 0), (10, 1), (1, 2), (0.1, 3)) if abs(value) >= limit), 4)


def number(value: float | None, *, like: float | None = None) -> str:
    """`value` with three significant digits and grouped thousands, or with the decimals of `like`."""
    if value is None:
        return UNKNOWN
    return f"{value:,.{decimals(value if like is None else like)}f}"


def span(low: float, high: float, *, like: float) -> str:
    """An interval, both ends with as many decimals as its centre."""
    return f"{number(low, like=like)} \N{EN DASH} {number(high, like=like)}"


def mebibytes(size_bytes: int | None) -> str:
    """A size in MiB without its unit."""
    return UNKNOWN if size_bytes is None else number(size_bytes / MIB)


def size(size_bytes: int) -> str:
    """A file's size in the unit that suits it."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    unit, scale = next((u, s) for u, s in (("GiB", 2**30), ("MiB", MIB), ("KiB", 1024)) if size_bytes >= s)
    return f"{number(size_bytes / scale)} {unit}"


def change(ratio: float) -> str:
    """A ratio as a signed change in percent: 1.042 is `+4.2 %`."""
    percent = (ratio - 1) * 100
    return f"{percent:+.{0 if abs(percent) >= 100 else 1}f} %".replace("-", "\N{MINUS SIGN}")


def duration(seconds: float) -> str:
    """A span of time as a person would say it."""
    whole = round(seconds)
    if whole < 60:
        return f"{number(seconds)} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """An amount with its noun: `1 case`, `2 cases`."""
    return f"{amount} {noun if amount == 1 else plural or noun + 's'}"


def figure(value: float | None) -> str:
    """A parity figure: as many digits as it needs and no more."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 10:
        return f"{value:,.1f}"
    return f"{value:.3g}" if abs(value) < 0.5 else f"{value:.6g}"


def error(value: float | None) -> str:
    """A share that may be tiny, three significant digits: `0.0417`, `2.98e-06`, `0`."""
    return UNKNOWN if value is None else f"{value:.3g}"


def plain(value: object) -> str:
    """Any recorded value as one line of text."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) or UNKNOWN
    if isinstance(value, Sequence) and not isinstance(value, str):
        between = "; " if any(isinstance(item, Mapping) for item in value) else ", "
        return between.join(plain(item) for item in value) or UNKNOWN
    return str(value)


def pairs(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Recorded values as (name, text) lines; nested mappings become dotted names, unknowns are left out."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [(f"{key}.{name}", text) for name, text in pairs(value)]
        elif isinstance(value, int) and str(key).endswith("_bytes"):
            lines.append((str(key).removesuffix("_bytes"), size(value)))
        elif value is not None and value not in ([], (), ""):
            lines.append((str(key), plain(value)))
    return tuple(lines)
