"""How a machine feels: temperatures, clocks, battery, throttling, load."""

import re
from pathlib import Path

from devices.linux.files import Files, integer, matching, read_files, text_of
from devices.linux.proc import parse_load_average, parse_meminfo, parse_vmstat
from devices.telemetry import Telemetry

TELEMETRY_FILES = (
    "proc/loadavg",
    "proc/meminfo",
    "proc/vmstat",
    "sys/class/thermal/thermal_zone*/type",
    "sys/class/thermal/thermal_zone*/temp",
    "sys/class/hwmon/hwmon*/name",
    "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq",
    "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor",
    "sys/class/power_supply/*/type",
    "sys/class/power_supply/*/scope",
    "sys/class/power_supply/*/capacity",
    "sys/class/power_supply/*/status",
    "sys/devices/platform/soc*/soc*firmware/get_throttled",
)
CPU_SENSORS = ("coretemp", "k10temp", "zenpower")
"""hwmon chips that sit in a CPU; the others (disks, radios) say nothing of it and may be slow to ask."""

THROTTLE_FLAGS = {
    0: "under_voltage",
    1: "frequency_capped",
    2: "throttled",
    3: "soft_temperature_limit",
    16: "under_voltage_occurred",
    17: "frequency_capped_occurred",
    18: "throttled_occurred",
    19: "soft_temperature_limit_occurred",
}
"""Bits of `vcgencmd get_throttled`: Raspberry Pi documentation, "vcgencmd"."""


def read_telemetry_files(root: Path) -> dict[str, str]:
    """Snapshot for `parse_telemetry`, with the inputs of those hwmon chips that sit in a CPU."""
    files = read_files(root, TELEMETRY_FILES)
    chips = [path.removesuffix("/name") for path, text in files.items() if text.strip() in CPU_SENSORS]
    inputs = [f"{chip}/temp*_{kind}" for chip in chips for kind in ("input", "label")]
    return {**files, **read_files(root, inputs)}


def parse_telemetry(files: Files, *, at: str) -> Telemetry:
    """Telemetry from a snapshot of `read_telemetry_files`, taken at the ISO time `at`."""
    governors = matching(files, r"sys/devices/system/cpu/cpu(\d+)/cpufreq/scaling_governor")
    flags = None
    for path, text in files.items():
        if path.endswith("/get_throttled"):
            flags = parse_get_throttled(text)
    percent, charging = parse_battery(files)
    return Telemetry(
        at=at,
        temperatures_celsius=parse_temperatures(files),
        frequencies_khz={
            f"cpu{core}": khz
            for core, text in matching(files, r"sys/devices/system/cpu/cpu(\d+)/cpufreq/scaling_cur_freq")
            if (khz := integer(text)) is not None
        },
        governor=",".join(sorted({text.strip() for _, text in governors})) or None,
        battery_percent=percent,
        charging=charging,
        throttled=is_throttled(flags),
        throttle_flags=flags or (),
        load_average=parse_load_average(files.get("proc/loadavg", "")),
        memory_available_bytes=parse_meminfo(files.get("proc/meminfo", ""), "MemAvailable"),
        oom_kills=parse_vmstat(files.get("proc/vmstat", ""), "oom_kill"),
    )


def celsius(reading: int) -> float | None:
    """A thermal zone's integer in degrees Celsius.

    The kernel's unit is the millidegree, but phones also give tenths and whole degrees; plausible
    temperatures of the three do not overlap. None for what no device can have, and for an exact zero,
    which is how sensors that are switched off answer.
    """
    size = abs(reading)
    value = float(reading) if size <= 150 else reading / 10 if size <= 1500 else reading / 1000
    return value if -40 < value < 150 and value != 0 else None


def parse_temperatures(files: Files) -> dict[str, float]:
    """Plausible readings by sensor; zones that share a type are told apart by their number."""
    readings: list[tuple[str, str, float]] = []
    for zone, text in matching(files, r"sys/class/thermal/thermal_zone(\d+)/temp"):
        kind = text_of(files, f"sys/class/thermal/thermal_zone{zone}/type") or "zone"
        number = integer(text)
        if number is not None and (value := celsius(number)) is not None:
            readings.append((kind, zone, value))
    for path, text in matching(files, r"(sys/class/hwmon/hwmon\d+/temp\d+)_input"):
        number = integer(text)
        if number is not None and -40_000 < number < 150_000 and number != 0:
            label = text_of(files, f"{path}_label") or path.rpartition("/")[2]
            chip = text_of(files, f"{path.rpartition('/')[0]}/name")
            readings.append((f"{chip} {label}", path, number / 1000))
    kinds = [kind for kind, _, _ in readings]
    return {f"{kind} {place}" if kinds.count(kind) > 1 else kind: value for kind, place, value in readings}


def parse_battery(files: Files) -> tuple[float | None, bool | None]:
    """Per cent and whether it charges, of the first battery that feeds the device itself."""
    for folder, kind in matching(files, r"(sys/class/power_supply/[^/]+)/type"):
        of_peripheral = text_of(files, f"{folder}/scope") == "Device"  # a mouse, a keyboard
        if kind.strip() == "Battery" and not of_peripheral:
            percent = integer(files.get(f"{folder}/capacity", ""))
            status = text_of(files, f"{folder}/status")
            known = {"Charging": True, "Discharging": False, "Not charging": False, "Full": False}
            return (None if percent is None else float(percent)), known.get(status or "")
    return None, None


def parse_get_throttled(text: str) -> tuple[str, ...] | None:
    """Flag names from `throttled=0x50005` or the bare hexadecimal number; None when it is neither."""
    found = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})", text.strip())
    if not found:
        return None
    bits = int(found[1], 16)
    return tuple(name for bit, name in THROTTLE_FLAGS.items() if bits >> bit & 1)


def is_throttled(flags: tuple[str, ...] | None) -> bool | None:
    """Whether any flag speaks of now, not of the past; None when flags are unknown."""
    return None if flags is None else any(not flag.endswith("_occurred") for flag in flags)
