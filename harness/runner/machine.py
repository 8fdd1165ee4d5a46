"""Readings of this process and this machine from /proc and /sys; what cannot be read is None."""

from __future__ import annotations

import os
import platform
import resource
import time
from typing import Any


def python_version() -> str:
    """Version of the interpreter that runs this."""
    return platform.python_version()


def rss_bytes() -> int | None:
    """Resident set size now."""
    return _status_kib("VmRSS")


def peak_rss_bytes() -> int | None:
    """Highest resident set size so far (VmHWM)."""
    return _status_kib("VmHWM")


def pss_bytes() -> int | None:
    """Proportional set size now; many kernels keep it from us."""
    return _kib(_read("/proc/self/smaps_rollup"), "Pss")


def thread_count() -> int | None:
    """Threads this process has, the interpreter's own included."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return None


def affinity() -> list[int] | None:
    """Cores that any thread of this process may run on, as the kernel says, sorted."""
    cores: set[int] = set()
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:
        return None
    for task in tasks:
        for line in _read("/proc/self/task/%s/status" % task).splitlines():
            if line.startswith("Cpus_allowed_list:"):
                cores.update(_core_list(line.split(":", 1)[1].strip()))
    return sorted(cores) or None


def usage() -> dict[str, float]:
    """Counters that only grow: CPU seconds, wall seconds, context switches."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_time_s": used.ru_utime + used.ru_stime,
        "timed_wall_s": time.monotonic(),
        "involuntary_switches": used.ru_nivcsw,
        "voluntary_switches": used.ru_nvcsw,
    }


def state() -> dict[str, Any]:
    """Load, current frequencies and temperatures."""
    return {
        "load_average": _load(),
        "frequencies_khz": _sensors("/sys/devices/system/cpu", "cpu", "cpufreq/scaling_cur_freq", 1),
        "temperatures_celsius": _sensors("/sys/class/thermal", "thermal_zone", "temp", 1000.0),
    }


def _status_kib(field: str) -> int | None:
    return _kib(_read("/proc/self/status"), field)


def _kib(text: str, field: str) -> int | None:
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def _read(path: str) -> str:
    try:
        with open(path) as stream:
            return stream.read()
    except OSError:
        return ""


def _load() -> float | None:
    words = _read("/proc/loadavg").split()
    return float(words[0]) if words else None


def _sensors(root: str, prefix: str, leaf: str, divisor: float) -> dict[str, float]:
    readings: dict[str, float] = {}
    try:
        names = os.listdir(root)
    except OSError:
        return readings
    for name in names:
        if name.startswith(prefix) and name[len(prefix) :].isdigit():
            text = _read("%s/%s/%s" % (root, name, leaf)).strip()
            if text.lstrip("-").isdigit():
                value = int(text)
                # Zones differ in their unit; anything hotter than a chip can be is a smaller unit.
                readings[name] = value / divisor if divisor != 1 and abs(value) > 1000 else value
    return readings


def _core_list(text: str) -> list[int]:
    cores: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores.extend(range(int(first), int(last or first) + 1))
    return cores
