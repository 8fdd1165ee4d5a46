"""What the machine pocketbench runs on is, and how it feels."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from devices import linux
from devices.facts import Facts
from devices.telemetry import Telemetry


def read_facts() -> Facts:
    """What this machine is; what it does not tell is left out."""
    return linux.parse_facts(
        linux.read_files(Path("/"), linux.FACT_FILES),
        driver="local",
        arch=platform.machine() or None,
        libc=_libc(),
        python=platform.python_version(),
    )


def read_telemetry() -> Telemetry:
    """How it feels now; what it does not tell is left out."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    telemetry = linux.parse_telemetry(linux.read_telemetry_files(Path("/")), at=now)
    flags = _raspberry_flags() if telemetry.throttled is None else None
    if flags is None:
        return telemetry
    return msgspec.structs.replace(telemetry, throttled=linux.is_throttled(flags), throttle_flags=flags)


def _libc() -> str | None:
    try:
        return linux.parse_libc(os.confstr("CS_GNU_LIBC_VERSION") or "")
    except (ValueError, OSError):
        return None


def _raspberry_flags() -> tuple[str, ...] | None:
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        asked = subprocess.run([program, "get_throttled"], capture_output=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return linux.parse_get_throttled(asked.stdout.decode(errors="replace"))
