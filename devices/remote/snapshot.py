"""Facts and telemetry of a device, each in one round trip: a script prints, pure parsers read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from devices import linux
from devices.base import TransientDeviceError
from devices.facts import Facts, Interpreter
from devices.remote.shell import SCRIPT_TIMEOUT_S, Shell, new_token
from devices.remote.snapshot_scripts import (
    BITS,
    DEFAULT_PYTHON,
    END,
    LIBC,
    OTHER_PYTHON,
    UNAME,
    facts_script,
    telemetry_script,
)
from devices.telemetry import Telemetry

_TOLD = re.compile(
    r"\n(?P<libc>.*)\n(?P<make>\w+) (?P<soabi>\S+) (?P<full>(?P<version>\d+\.\d+)\.\d+) (?P<path>/.*)\Z"
)


class FactsReader(Protocol):
    """As `read_facts`, which is the one for Linux."""

    def __call__(self, shell: Shell, *, driver: str) -> Facts:
        """What the device is; raises DeviceError, TransientDeviceError."""
        ...


@dataclass(frozen=True, kw_only=True)
class Senses:
    """How a kind of device is asked what it is and how it feels, each in one round trip."""

    read_facts: FactsReader
    read_telemetry: Callable[[Shell], Telemetry]


@dataclass(frozen=True, kw_only=True)
class Pythons:
    """The CPythons that ran; the full version that `python3` is; the C library one of them runs on."""

    interpreters: tuple[Interpreter, ...]
    default: str | None
    libc: str


def read_facts(shell: Shell, *, driver: str, root: str = "/") -> Facts:
    """What the device is; raises DeviceError and TransientDeviceError only when it cannot be asked.

    `root` is where its /proc, /sys and /etc are looked for.
    """
    facts, _ = facts_and_answers(shell, (), driver=driver, root=root)
    return facts


def read_telemetry(shell: Shell, *, root: str = "/") -> Telemetry:
    """How the device feels now, with the host's time; raises as `read_facts` does."""
    telemetry, _ = telemetry_and_answers(shell, (), root=root)
    return telemetry


LINUX = Senses(read_facts=read_facts, read_telemetry=read_telemetry)


def facts_and_answers(
    shell: Shell, commands: Sequence[str], *, driver: str, root: str = "/"
) -> tuple[Facts, linux.Files]:
    """`read_facts`, and what each of `commands` (a program and its words) printed, in the same round trip.

    A command that fails, hangs or is not there may have printed anything or nothing: that is no error.
    """
    mark = new_token()
    script = facts_script(mark, root, commands)
    files = _records(shell, script, mark, attempted="read its facts", timeout_s=180.0)
    pythons = parse_pythons(files)
    facts = linux.parse_facts(
        files,
        driver=driver,
        arch=files.get(UNAME, "").strip() or None,
        libc=linux.parse_libc(files.get(LIBC, "").strip()) or linux.parse_libc(pythons.libc),
        python=pythons.default,
        interpreters=pythons.interpreters,
    )
    known = msgspec.structs.replace(facts, bits=parse_bits(files.get(BITS, "")))
    return known, {command: files.get(command, "") for command in commands}


def telemetry_and_answers(
    shell: Shell, commands: Sequence[str], *, root: str = "/"
) -> tuple[Telemetry, linux.Files]:
    """`read_telemetry`, and what each of `commands` printed; see `facts_and_answers`."""
    mark = new_token()
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    files = _records(shell, telemetry_script(mark, root, commands), mark, attempted="read its telemetry")
    return linux.parse_telemetry(files, at=at), {command: files.get(command, "") for command in commands}


def parse_records(printed: bytes, mark: str) -> dict[str, str]:
    """Name -> content of each record, in natural order; what is no record is left out."""
    records: dict[str, str] = {}
    for record in printed.split(f"\n{mark} ".encode())[1:]:
        name, end, content = record.partition(b"\n")
        if end:
            records[name.decode(errors="replace")] = content.decode(errors="replace")
    return linux.in_natural_order(records)


def parse_bits(text: str) -> int | None:
    """32 or 64: as `getconf LONG_BIT` prints it, or the class byte of an ELF header (elf(5), EI_CLASS)."""
    return {"32": 32, "64": 64, "1": 32, "2": 64}.get(text.strip())


def parse_pythons(records: linux.Files) -> Pythons:
    """What the interpreters said of themselves, `python3` first and each file once."""
    found: dict[str, Interpreter] = {}
    default: str | None = None
    libc = ""
    for name in sorted(records, key=lambda name: not name.startswith(DEFAULT_PYTHON)):
        if not name.startswith((DEFAULT_PYTHON, OTHER_PYTHON)):
            continue
        told = _TOLD.search(records[name])  # a wrapper may have printed before it
        if told is None:
            continue
        if name.startswith(DEFAULT_PYTHON):
            default = told["full"]
        if told["make"] == "cpython":
            python = Interpreter(path=told["path"], version=told["version"], soabi=told["soabi"])
            found.setdefault(python.path, python)
            libc = libc or told["libc"]
    return Pythons(interpreters=tuple(found.values()), default=default, libc=libc)


def _records(
    shell: Shell, script: str, mark: str, *, attempted: str, timeout_s: float = SCRIPT_TIMEOUT_S
) -> dict[str, str]:
    """What the script printed, to its end: half of what a device is would be another device."""
    done = shell.call(script, attempted=attempted, timeout_s=timeout_s)
    files = parse_records(done.stdout, mark)
    if END not in files:
        raise TransientDeviceError(
            f"{shell.device}: cannot {attempted}: its answer was cut short (exit code {done.exit_code})"
        )
    return files
