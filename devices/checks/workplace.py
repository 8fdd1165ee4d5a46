"""Where pocketbench works on a device: its directory, its disk, the programs there."""

import re

from devices.checks.base import Check, Patient, not_tried, text
from devices.remote.sending import HASH
from devices.remote.shell import complaint
from devices.remote.tools import LIST_MISSING

ENOUGH_BYTES = 2**30
"""Free space below which a device is doubtful: the bundles of two runtimes take a third of it."""

_DF = re.compile(r"(?P<free_kib>\d+)\s+\d+%\s+(?P<mount>/.*)$", re.MULTILINE)
"""The end of a line of `df -P` (POSIX, df, "STDOUT")."""

_BY_WORKDIR = "set `workdir` in the device's file to a directory of this user where programs may run"


def write(patient: Patient) -> Check:
    """The work directory can be made and written, 1 MiB of it."""
    done = patient.shell.call(
        f"mkdir -p {patient.workdir} && cd {patient.workdir} && pwd -P || exit 10; "
        "probe=.doctor.$$; trap 'rm -f \"$probe\"' EXIT; "
        'head -c 1048576 /dev/zero >"$probe" || exit 11',
        attempted="write its work directory",
    )
    patient.writable = done.exit_code == 0
    place = patient.device.workdir
    match done.exit_code:
        case 0:
            return Check(name="write", ok=True, found=text(done.stdout))
        case 11 if "space" in complaint(done) or "quota" in complaint(done):
            told, advice = "no room for 1 MiB in", "make room there, or " + _BY_WORKDIR
        case 11:
            told, advice = "cannot write in", _BY_WORKDIR
        case _:
            told, advice = "cannot make", _BY_WORKDIR
    return Check(name="write", ok=False, found=f"{told} {place} ({complaint(done)})", advice=advice)


def execute(patient: Patient) -> Check:
    """Programs run in the work directory."""
    if not patient.writable:
        return not_tried("execute")
    done = patient.shell.call(
        f"cd {patient.workdir} || exit 10; probe=.doctor.$$; trap 'rm -f \"$probe\"' EXIT; "
        'printf \'#!%s\\nexit 0\\n\' "$(command -v sh)" >"$probe" && '
        'chmod +x "$probe" && "./$probe" && exit 0; '
        "df -P .; cat /proc/mounts; exit 1",
        attempted="run a script in its work directory",
    )
    if done.exit_code == 0:
        return Check(name="execute", ok=True, found="programs run in the work directory")
    mount = _mount_without_programs(text(done.stdout))
    why = f"{mount} is mounted noexec" if mount else complaint(done)
    return Check(
        name="execute",
        ok=False,
        found=f"programs do not run in {patient.device.workdir} ({why})",
        advice=_BY_WORKDIR,
    )


def space(patient: Patient) -> Check:
    """There is room for bundles and models."""
    if not patient.writable:
        return not_tried("space")
    printed = patient.shell.call(f"df -Pk {patient.workdir}", attempted="ask for its free space").stdout
    disk = _DF.search(text(printed))
    if disk is None:
        return Check(name="space", ok=None, found="df does not tell how much is free")
    free = int(disk["free_kib"]) * 1024
    quota = patient.remote.settings.quota_bytes if patient.remote else None
    found = f"{_size(free)} free on {disk['mount']}"
    found += f"; the store may take {_size(quota)}" if quota is not None else ""
    if free >= ENOUGH_BYTES:
        return Check(name="space", ok=True, found=found)
    return Check(
        name="space",
        ok=None,
        found=found,
        advice="bundles and models of several runtimes take about 1 GiB: make room, or set `workdir` to a "
        "larger disk",
    )


def tools(patient: Patient) -> Check:
    """The programs that files are sent and commands are pinned with are there."""
    if patient.remote is None:
        return Check(name="tools", ok=None, found="none are needed on this machine")
    known = ("tar", "flock", "taskset")
    done = patient.shell.call(
        f'missing=; {LIST_MISSING}; for tool in $missing; do echo "missing: $tool"; done; '
        f'for tool in {" ".join(known)}; do command -v "$tool" >/dev/null && echo "$tool"; done; '
        f'({HASH}echo "hash: $h"); exit 0',
        attempted="look for its tools",
    )
    said = text(done.stdout).splitlines()
    there = [line.removeprefix("hash: ") for line in said if not line.startswith("missing: ")]
    missing = [line.removeprefix("missing: ") for line in said if line.startswith("missing: ")]
    missing += [] if any(line.startswith("hash: ") for line in said) else ["sha256sum (or openssl)"]
    missing += ["taskset"] if patient.device.cpus is not None and "taskset" not in there else []
    found = ", ".join(there) or "none"
    if missing:
        return Check(
            name="tools",
            ok=False,
            found=f"{', '.join(missing)} missing; there are: {found}",
            advice="install coreutils, tar and util-linux there, or a busybox that has them",
        )
    if "flock" not in there:
        advice = "install util-linux there: without flock, sessions of other hosts are not kept out"
        return Check(name="tools", ok=None, found=f"{found}; flock is missing", advice=advice)
    return Check(name="tools", ok=True, found=found)


def _mount_without_programs(printed: str) -> str | None:
    """Where the disk that `df -P .` told is mounted, when /proc/mounts, told after it, says noexec."""
    disk = _DF.search(printed)
    if disk is None:
        return None
    options = ""
    for line in printed[disk.end() :].splitlines():
        words = line.split()
        # Spaces are written as octal numbers: fstab(5). The last line of a place lies over the others.
        if len(words) > 3 and re.sub(r"\\([0-7]{3})", lambda o: chr(int(o[1], 8)), words[1]) == disk["mount"]:
            options = words[3]
    return disk["mount"] if "noexec" in options.split(",") else None


def _size(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
