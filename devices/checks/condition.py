"""What state a device is in: its interpreters, its clock, heat, frequency and CPUs."""

import os
import time
from collections.abc import Iterable

from devices.checks.base import Check, Patient, listed, text
from devices.facts import Interpreter
from devices.remote.governor import CPUS
from devices.remote.shell import complaint

CLOCK_TOLERANCE_S = 60.0
GOVERNORS = f"{CPUS}/cpu[0-9]*/cpufreq/scaling_governor"


def python(patient: Patient) -> Check:
    """Which interpreters it has, and which is used first."""
    facts = patient.device.facts()
    default = f"python3 is {facts.python}" if facts.python else "no python3 on PATH"
    if patient.remote is None:
        return Check(name="python", ok=True, found=default)
    usable = patient.chosen(facts)
    others = [i for i in facts.interpreters if i not in usable]
    if not usable:
        named = f": {_pythons(others)} are not of use" if others else ""
        return Check(
            name="python",
            ok=None,
            found=f"{default}{named}",
            advice="only `portable` and `binary` bundles can run: install Python 3.8 or newer for the others",
        )
    rest = f"; also {_pythons([*usable[1:], *others])}" if len(facts.interpreters) > 1 else ""
    return Check(name="python", ok=True, found=f"{_pythons(usable[:1])} is used first{rest}; {default}")


def clock(patient: Patient) -> Check:
    """Its clock agrees with this machine's."""
    if patient.remote is None:
        return Check(name="clock", ok=None, found="the host's own")
    before = time.time()
    printed = text(patient.shell.call("date +%s", attempted="ask for the time").stdout)
    middle = (before + time.time()) / 2
    if not printed.isdecimal():
        return Check(name="clock", ok=None, found="date does not tell")
    ahead_s = int(printed) + 0.5 - middle  # it tells whole seconds that have begun
    found = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    if abs(ahead_s) <= CLOCK_TOLERANCE_S:
        return Check(name="clock", ok=True, found="as this machine's" if abs(ahead_s) < 2 else found)
    advice = "files there bear wrong dates: `timedatectl set-ntp true` there, or `date -s @$(date +%s)`"
    return Check(name="clock", ok=None, found=found, advice=advice)


def thermal(patient: Patient) -> Check:
    """It is neither hot nor limited, as far as it tells."""
    telemetry = patient.device.telemetry()
    limited = [flag for flag in telemetry.throttle_flags if not flag.endswith("_occurred")]
    readings = sorted(telemetry.temperatures_celsius.items(), key=lambda item: -item[1])
    found = ", ".join(f"{sensor} {value:.1f} °C" for sensor, value in readings[:4])
    found += f" and {len(readings) - 4} more" if len(readings) > 4 else ""
    flags = ", ".join(flag.replace("_", " ") for flag in telemetry.throttle_flags)
    told = "; ".join(filter(None, (found or "no sensor can be read", flags)))
    if telemetry.throttled:
        cure = "give it a stronger power supply" if "under_voltage" in limited else "cool it"
        return Check(name="thermal", ok=False, found=told, advice=f"{cure}: what is measured now is invalid")
    if flags:
        advice = "it was limited since it booted: see to its power supply and cooling"
        return Check(name="thermal", ok=None, found=told, advice=advice)
    if not readings:
        advice = "heat cannot be seen: runs do not wait for it to cool, and cannot tell when it throttles"
        return Check(name="thermal", ok=None, found=told, advice=advice)
    return Check(name="thermal", ok=True, found=told)


def governor(patient: Patient) -> Check:
    """Its frequency stays up while measuring."""
    current = patient.device.telemetry().governor
    asked = patient.remote.settings.governor if patient.remote else None
    if current is None:
        return Check(name="governor", ok=None, found="it has no cpufreq that can be read")
    if asked is not None and current != asked:
        return _to_be_set(patient, current, asked)
    if current in {"performance", asked}:
        return Check(name="governor", ok=True, found=current)
    return Check(name="governor", ok=None, found=current, advice=_governor_advice(patient))


def pinning(patient: Patient) -> Check:
    """Commands can be pinned to the CPUs of the device's file."""
    wanted = patient.device.cpus
    if wanted is None:
        return Check(name="pinning", ok=None, found="not asked for")
    present = {core for cluster in patient.device.facts().clusters for core in cluster.cores}
    if patient.remote is None:
        present &= os.sched_getaffinity(0)
    advice = "correct `cpus` in the device's file"
    if present and not present.issuperset(wanted):
        found = f"CPUs {listed(wanted)} are asked for, there are {listed(present)}"
        return Check(name="pinning", ok=False, found=found, advice=advice)
    if patient.remote is not None:
        mask = sum(1 << cpu for cpu in wanted)
        done = patient.shell.call(f"taskset {mask:x} true", attempted="pin a command")
        if done.exit_code != 0:
            return Check(
                name="pinning",
                ok=False,
                found=f"not to CPUs {listed(wanted)} ({complaint(done)})",
                advice=advice,
            )
    return Check(name="pinning", ok=True, found=f"to CPUs {listed(wanted)}")


def _governor_advice(patient: Patient) -> str:
    if patient.remote is None:
        return "frequencies follow the load: `cpupower frequency-set -g performance` while measuring"
    if _may_set(patient):
        return 'write governor = "performance" in the device\'s file: it is set while measuring and put back'
    return f"frequencies follow the load, and this user may not change that: {_by_others('performance')}"


def _to_be_set(patient: Patient, current: str, asked: str) -> Check:
    """Whether `asked`, of the device's file, is a governor there and this user may set it."""
    files = GOVERNORS.replace("scaling_governor", "scaling_available_governors")
    choices = f'for file in {files}; do cat "$file" 2>/dev/null; break; done'
    there = text(patient.shell.call(choices, attempted="ask for its governors").stdout).split()
    if there and asked not in there:
        advice = f"correct `governor` in the device's file: there are {', '.join(there)}"
        return Check(name="governor", ok=False, found=f"{current}; there is no {asked}", advice=advice)
    if not _may_set(patient):
        found = f"{current}; this user may not set {asked}"
        return Check(name="governor", ok=None, found=found, advice=_by_others(asked))
    return Check(name="governor", ok=True, found=f"{current}; {asked} while measuring")


def _may_set(patient: Patient) -> bool:
    """Whether this user may write every CPU's governor, or have `sudo -n tee` do it."""
    by_sudo = 'sudo -n -l tee "$file" >/dev/null 2>&1'
    script = f'for file in {GOVERNORS}; do [ -w "$file" ] || {by_sudo} || exit 1; done'
    return patient.shell.call(script, attempted="ask whether its governor can be set").exit_code == 0


def _by_others(governor: str) -> str:
    return f"as root, `echo {governor} | tee {GOVERNORS}`, or let the user run `sudo -n tee`"


def _pythons(interpreters: Iterable[Interpreter]) -> str:
    return ", ".join(f"{python.version} ({python.path})" for python in interpreters)
