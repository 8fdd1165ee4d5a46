"""What Linux says of itself in /proc and /sys, as pure functions over the text of its files.

A snapshot maps paths without their leading slash to contents. `read_files` takes one on this machine; a
driver for a remote one fetches the same patterns and hands the text in. No reading is required: what is
absent, unreadable or makes no sense is None.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from devices.config import parse_cpu_list
from devices.facts import CpuCluster, Facts, Interpreter
from devices.telemetry import Telemetry

Files = Mapping[str, str]

FACT_FILES = (
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/sys/kernel/osrelease",
    "proc/sys/kernel/random/boot_id",
    "etc/os-release",
    "usr/lib/os-release",
    "etc/machine-id",
    "sys/devices/system/cpu/present",
    "sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq",
    "sys/firmware/devicetree/base/model",
    "sys/firmware/devicetree/base/compatible",
    "sys/firmware/devicetree/base/serial-number",
    "sys/class/dmi/id/sys_vendor",
    "sys/class/dmi/id/product_name",
)
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

# (implementer, part) of /proc/cpuinfo: util-linux, sys-utils/lscpu-arm.c.
_ARM_CORES = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x51, 0x802): "Kryo-3XX-Gold",
    (0x51, 0x803): "Kryo-3XX-Silver",
    (0x51, 0x804): "Kryo-4XX-Gold",
    (0x51, 0x805): "Kryo-4XX-Silver",
}
_PLACEHOLDERS = ("to be filled", "default string", "system product name", "not specified", "o.e.m.")


def read_files(root: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Contents of the readable files under `root` that match glob `patterns`, in natural order."""
    found: dict[str, str] = {}
    for pattern in patterns:
        for path in sorted(root.glob(pattern), key=lambda path: natural(str(path))):
            with suppress(OSError):  # sensors that are off answer EAGAIN, ENODATA or EIO
                found[path.relative_to(root).as_posix()] = path.read_text(errors="replace")
    return found


def read_telemetry_files(root: Path) -> dict[str, str]:
    """Snapshot for `parse_telemetry`, with the inputs of those hwmon chips that sit in a CPU."""
    files = read_files(root, TELEMETRY_FILES)
    chips = [path.removesuffix("/name") for path, text in files.items() if text.strip() in CPU_SENSORS]
    inputs = [f"{chip}/temp*_{kind}" for chip in chips for kind in ("input", "label")]
    return {**files, **read_files(root, inputs)}


def natural(path: str) -> list[tuple[int, str]]:
    """Sort key of a path in which numbers count as numbers."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", path)]


def in_natural_order(files: Files) -> dict[str, str]:
    """The same snapshot, `cpu2` before `cpu10`."""
    return {path: files[path] for path in sorted(files, key=natural)}


def parse_facts(
    files: Files,
    *,
    driver: str,
    arch: str | None,
    libc: str | None,
    python: str | None,
    interpreters: tuple[Interpreter, ...] = (),
) -> Facts:
    """Facts from a snapshot of FACT_FILES and what only a call can tell."""
    cpuinfo = files.get("proc/cpuinfo", "")
    clusters = parse_clusters(files)
    release = parse_os_release(files.get("etc/os-release") or files.get("usr/lib/os-release", ""))
    cores = sum(len(cluster.cores) for cluster in clusters)
    return Facts(
        driver=driver,
        model=_text(files, "sys/firmware/devicetree/base/model") or _dmi_model(files),
        soc=_devicetree_soc(files) or parse_cpu_model(cpuinfo),
        arch=arch,
        os=release.get("NAME"),
        os_version=release.get("VERSION_ID"),
        kernel=_text(files, "proc/sys/kernel/osrelease"),
        libc=libc,
        clusters=clusters,
        cores=cores or None,
        ram_bytes=parse_meminfo(files.get("proc/meminfo", ""), "MemTotal"),
        python=python,
        interpreters=interpreters,
        serial=_text(files, "sys/firmware/devicetree/base/serial-number"),
        machine=hashed_machine_id(files.get("etc/machine-id", "")),
        boot_id=_text(files, "proc/sys/kernel/random/boot_id"),
    )


def parse_telemetry(files: Files, *, at: str) -> Telemetry:
    """Telemetry from a snapshot of `read_telemetry_files`, taken at the ISO time `at`."""
    governors = _matching(files, r"sys/devices/system/cpu/cpu(\d+)/cpufreq/scaling_governor")
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
            for core, text in _matching(files, r"sys/devices/system/cpu/cpu(\d+)/cpufreq/scaling_cur_freq")
            if (khz := _integer(text)) is not None
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


def parse_cpu_model(cpuinfo: str) -> str | None:
    """Name of the CPU or SoC: x86 `model name`, or the `Hardware` line of older ARM kernels."""
    for key in ("model name", "Hardware"):
        if found := re.search(rf"^{key}\s*:[ \t]*(\S.*)$", cpuinfo, re.MULTILINE):
            return found[1].strip()
    return None


def parse_core_names(cpuinfo: str) -> dict[int, str | None]:
    """Name of each core that is on line: the ARM part, or x86's model name."""
    names: dict[int, str | None] = {}
    for block in re.split(r"\n\s*\n", cpuinfo):
        fields = dict(re.findall(r"^([^:\n\t]+?)\s*:[ \t]*(.*)$", block, re.MULTILINE))
        core = _integer(fields.get("processor", ""))
        if core is not None:
            maker, part = (_integer(fields.get(f"CPU {key}", "")) for key in ("implementer", "part"))
            arm = _ARM_CORES.get((maker, part)) if maker is not None and part is not None else None
            names[core] = arm or fields.get("model name") or None
    return names


def parse_clusters(files: Files) -> tuple[CpuCluster, ...]:
    """Cores grouped by kind and maximum frequency, in the order of their first core."""
    names = parse_core_names(files.get("proc/cpuinfo", ""))
    max_khz = {
        int(core): _integer(text)
        for core, text in _matching(files, r"sys/devices/system/cpu/cpu(\d+)/cpufreq/cpuinfo_max_freq")
    }
    present: tuple[int, ...] = ()
    with suppress(ValueError):
        present = parse_cpu_list(files.get("sys/devices/system/cpu/present", "").strip())
    groups: dict[tuple[int | None, str | None], list[int]] = {}
    for core in present or sorted(names):
        groups.setdefault((max_khz.get(core), names.get(core)), []).append(core)
    return tuple(
        CpuCluster(cores=tuple(cores), max_khz=khz, name=name) for (khz, name), cores in groups.items()
    )


def parse_os_release(text: str) -> dict[str, str]:
    """Assignments of an os-release file (os-release(5))."""
    pairs = re.findall(r"^([A-Z_0-9]+)=(.*)$", text, re.MULTILINE)
    return {key: value.strip().strip("\"'") for key, value in pairs}


def hashed_machine_id(text: str) -> str | None:
    """What stands for /etc/machine-id outside of its machine; None where a system has none yet.

    The id itself is confidential: as machine-id(5) asks, a keyed hash of ours is what is told.
    """
    found = re.fullmatch(r"[0-9a-f]{32}", text.strip())
    if not found or set(found[0]) == {"0"}:
        return None
    return hmac.new(bytes.fromhex(found[0]), b"pocketbench", hashlib.sha256).hexdigest()[:32]


def parse_libc(text: str) -> str | None:
    """`glibc 2.36` or `musl 1.2.4` from what `getconf GNU_LIBC_VERSION` or `ldd --version` prints."""
    if found := re.search(r"^glibc (\d+\.\d+)", text) or re.search(r"^ldd \(.*\) (\d+\.\d+)", text):
        return f"glibc {found[1]}"
    found = re.search(r"^musl libc.*\nVersion (\S+)", text)
    return f"musl {found[1]}" if found else None


def parse_meminfo(text: str, key: str) -> int | None:
    """Bytes of one line of /proc/meminfo."""
    found = re.search(rf"^{key}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def parse_vmstat(text: str, key: str) -> int | None:
    """One counter of /proc/vmstat."""
    found = re.search(rf"^{key} (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def parse_load_average(text: str) -> float | None:
    """Load over the last minute."""
    found = re.match(r"\d+\.\d+", text)
    return float(found[0]) if found else None


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
    for zone, text in _matching(files, r"sys/class/thermal/thermal_zone(\d+)/temp"):
        kind = _text(files, f"sys/class/thermal/thermal_zone{zone}/type") or "zone"
        number = _integer(text)
        if number is not None and (value := celsius(number)) is not None:
            readings.append((kind, zone, value))
    for path, text in _matching(files, r"(sys/class/hwmon/hwmon\d+/temp\d+)_input"):
        number = _integer(text)
        if number is not None and -40_000 < number < 150_000 and number != 0:
            label = _text(files, f"{path}_label") or path.rpartition("/")[2]
            chip = _text(files, f"{path.rpartition('/')[0]}/name")
            readings.append((f"{chip} {label}", path, number / 1000))
    kinds = [kind for kind, _, _ in readings]
    return {f"{kind} {place}" if kinds.count(kind) > 1 else kind: value for kind, place, value in readings}


def parse_battery(files: Files) -> tuple[float | None, bool | None]:
    """Per cent and whether it charges, of the first battery that feeds the device itself."""
    for folder, kind in _matching(files, r"(sys/class/power_supply/[^/]+)/type"):
        of_peripheral = _text(files, f"{folder}/scope") == "Device"  # a mouse, a keyboard
        if kind.strip() == "Battery" and not of_peripheral:
            percent = _integer(files.get(f"{folder}/capacity", ""))
            status = _text(files, f"{folder}/status")
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


def _matching(files: Files, pattern: str) -> list[tuple[str, str]]:
    """First group of the paths that match, with their contents."""
    return [(found[1], text) for path, text in files.items() if (found := re.fullmatch(pattern, path))]


def _text(files: Files, path: str) -> str | None:
    return files.get(path, "").replace("\0", " ").strip() or None


def _integer(text: str) -> int | None:
    try:
        return int(text.strip(), 0)
    except ValueError:
        return None


def _devicetree_soc(files: Files) -> str | None:
    compatible = files.get("sys/firmware/devicetree/base/compatible", "").strip("\0\n")
    return compatible.split("\0")[-1].rpartition(",")[2] or None


def _dmi_model(files: Files) -> str | None:
    words = [_text(files, f"sys/class/dmi/id/{key}") for key in ("sys_vendor", "product_name")]
    known = [word for word in words if word and not word.lower().startswith(_PLACEHOLDERS)]
    return " ".join(known) or None
