"""What a machine is: processor, system, memory, and what tells it from others of its make."""

import hashlib
import hmac
import re
from contextlib import suppress

from devices.config import parse_cpu_list
from devices.facts import CpuCluster, Facts, Interpreter
from devices.linux.files import Files, integer, matching, text_of
from devices.linux.proc import parse_meminfo

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
        model=text_of(files, "sys/firmware/devicetree/base/model") or _dmi_model(files),
        soc=_devicetree_soc(files) or parse_cpu_model(cpuinfo),
        arch=arch,
        os=release.get("NAME"),
        os_version=release.get("VERSION_ID"),
        kernel=text_of(files, "proc/sys/kernel/osrelease"),
        libc=libc,
        clusters=clusters,
        cores=cores or None,
        ram_bytes=parse_meminfo(files.get("proc/meminfo", ""), "MemTotal"),
        python=python,
        interpreters=interpreters,
        serial=text_of(files, "sys/firmware/devicetree/base/serial-number"),
        machine=hashed_machine_id(files.get("etc/machine-id", "")),
        boot_id=text_of(files, "proc/sys/kernel/random/boot_id"),
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
        core = integer(fields.get("processor", ""))
        if core is not None:
            maker, part = (integer(fields.get(f"CPU {key}", "")) for key in ("implementer", "part"))
            arm = _ARM_CORES.get((maker, part)) if maker is not None and part is not None else None
            names[core] = arm or fields.get("model name") or None
    return names


def parse_clusters(files: Files) -> tuple[CpuCluster, ...]:
    """Cores grouped by kind and maximum frequency, in the order of their first core."""
    names = parse_core_names(files.get("proc/cpuinfo", ""))
    max_khz = {
        int(core): integer(text)
        for core, text in matching(files, r"sys/devices/system/cpu/cpu(\d+)/cpufreq/cpuinfo_max_freq")
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


def _devicetree_soc(files: Files) -> str | None:
    compatible = files.get("sys/firmware/devicetree/base/compatible", "").strip("\0\n")
    return compatible.split("\0")[-1].rpartition(",")[2] or None


def _dmi_model(files: Files) -> str | None:
    words = [text_of(files, f"sys/class/dmi/id/{key}") for key in ("sys_vendor", "product_name")]
    known = [word for word in words if word and not word.lower().startswith(_PLACEHOLDERS)]
    return " ".join(known) or None
