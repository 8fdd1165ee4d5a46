"""Facts and telemetry of a device, each in one round trip: a script prints its files, pure parsers read them.

Every record begins with a word drawn for this call, so that no content is taken for a record. Sensors may
answer with an error, be unreadable or not be there: they are absent then.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from devices import linux
from devices.base import TransientDeviceError
from devices.facts import Facts, Interpreter
from devices.remote.shell import SCRIPT_TIMEOUT_S, Shell, new_token, quote, quoted_path
from devices.telemetry import Telemetry

PYTHON_NAMES = ("python3", *(f"python3.{minor}" for minor in range(20, 7, -1)))
PYTHON_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/*/bin", "~/.pyenv/versions/*/bin", "~/miniforge3/bin")
PYTHON_TIMEOUT_S = 20
THROTTLED_TIMEOUT_S = 5
COMMAND_TIMEOUT_S = 5

_UNAME, _LIBC, _BITS, _END = "uname -m", "libc", "bits", "end"
_DEFAULT_PYTHON, _OTHER_PYTHON = "python3:", "python:"

# What of sysconfig's SOABI is compiled in: the name of extension modules holds it. Imports nothing that has
# to be read from disk. A virtual environment's python tells the one it was made from.
_ASK_PYTHON = """
import sys, os, _imp
base = getattr(sys, "_base_executable", None) or sys.executable
tag = _imp.extension_suffixes()[0].split(".")[1]
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (ValueError, OSError):
    libc = ""
said = "\\n%s\\n%s %s %d.%d.%d " % (libc, sys.implementation.name, tag, *sys.version_info[:3])
os.write(1, said.encode() + os.fsencode(os.path.realpath(base)))
"""
_TOLD = re.compile(
    r"\n(?P<libc>.*)\n(?P<make>\w+) (?P<soabi>\S+) (?P<full>(?P<version>\d+\.\d+)\.\d+) (?P<path>/.*)\Z"
)

# `line`s are kept in a variable and printed together: printf is a program of its own in Android's shell.
_PRELUDE = """
exec 2>/dev/null
mark={mark}
kept= limited=
flush() {{ printf '%s' "$kept"; kept=; }}
record() {{ kept="$kept
$mark $1
"; }}
line() {{ for file in "$@"; do
    text=
    IFS= read -r text <"$file"
    [ -n "$text" ] && {{ record "$file"; kept="$kept$text"; }}
done; }}
whole() {{ for file in "$@"; do
    [ -r "$file" ] && [ -f "$file" ] && {{ record "$file"; flush; cat "$file"; }}
done; }}
limit() {{
    seconds=$1; shift
    [ -n "$limited" ] || {{ timeout 9 true && limited=yes || limited=no; }}
    if [ "$limited" = yes ]; then timeout "$seconds" "$@"; else "$@"; fi
}}
end() {{ record '{end}'; flush; exit 0; }}
cd {root} || end
"""

_CPU_SENSORS = """
for file in sys/class/hwmon/hwmon*/name; do
    text=
    IFS= read -r text <"$file"
    case $text in {chips}) line "${{file%/name}}"/temp*_input "${{file%/name}}"/temp*_label;; esac
done
"""

_THROTTLED = """
set -- {patterns}
if [ ! -r "$1" ] && command -v vcgencmd >/dev/null; then
    record vcgencmd/get_throttled; flush
    limit {timeout_s} vcgencmd get_throttled </dev/null
fi
"""

_COMMAND = """
record {name}; flush
limit {timeout_s} {command} </dev/null
"""

_SYSTEM = """
record '{uname}'; flush; uname -m
record '{libc}'; flush
text=$(getconf GNU_LIBC_VERSION)
case $text in glibc*) printf '%s' "$text";; *) ldd --version 2>&1;; esac
record '{bits}'; flush
getconf LONG_BIT || od -An -tu1 -j4 -N1 /proc/self/exe
"""

# Two names of one file are one interpreter. Shims choose a version by the directory they are called in: only
# `python3` itself, which is what a user gets, is asked through one.
_INTERPRETERS = """
default= seen=
ask() {{
    record "$1$2"; flush
    limit {timeout_s} "$2" -I -S -c {code} </dev/null
}}
meet() {{
    [ -x "$1" ] && [ -f "$1" ] || return
    if [ -z "$default" ]; then default=$1; ask {first} "$1"; keep "$1"; return; fi
    case $1 in */shims/*) return;; esac
    among "$1" || {{ ask {other} "$1"; keep "$1"; }}
}}
keep() {{ seen="$seen$1
"; }}
among() {{
    known=$seen
    while [ -n "$known" ]; do
        [ "$1" -ef "${{known%%
*}}" ] && return 0
        known=${{known#*
}}
    done
    return 1
}}
set -f; IFS=:
for place in $PATH; do meet "$place/python3"; done
IFS=' '; set +f
[ -n "$default" ] || default=none
for name in {names}; do
    set -f; IFS=:
    set -- $PATH
    IFS=' '; set +f
    for place in "$@" {places}; do meet "$place/$name"; done
done
"""


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
        arch=files.get(_UNAME, "").strip() or None,
        libc=linux.parse_libc(files.get(_LIBC, "").strip()) or linux.parse_libc(pythons.libc),
        python=pythons.default,
        interpreters=pythons.interpreters,
    )
    known = msgspec.structs.replace(facts, bits=parse_bits(files.get(_BITS, "")))
    return known, {command: files.get(command, "") for command in commands}


def telemetry_and_answers(
    shell: Shell, commands: Sequence[str], *, root: str = "/"
) -> tuple[Telemetry, linux.Files]:
    """`read_telemetry`, and what each of `commands` printed; see `facts_and_answers`."""
    mark = new_token()
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    files = _records(shell, telemetry_script(mark, root, commands), mark, attempted="read its telemetry")
    return linux.parse_telemetry(files, at=at), {command: files.get(command, "") for command in commands}


def facts_script(mark: str, root: str, commands: Sequence[str] = ()) -> str:
    """POSIX script that prints FACT_FILES, system, interpreters and `commands` as records of `mark`."""
    interpreters = _INTERPRETERS.format(
        timeout_s=PYTHON_TIMEOUT_S,
        code=quote(_ASK_PYTHON),
        first=_DEFAULT_PYTHON,
        other=_OTHER_PYTHON,
        names=" ".join(PYTHON_NAMES),
        places=" ".join(place.replace("~/", '"$HOME"/') for place in PYTHON_PLACES),
    )
    system = _SYSTEM.format(uname=_UNAME, libc=_LIBC, bits=_BITS)
    return _script(mark, root, linux.FACT_FILES) + system + interpreters + _asking(commands) + "end\n"


def telemetry_script(mark: str, root: str, commands: Sequence[str] = ()) -> str:
    """POSIX script that prints TELEMETRY_FILES, what else `parse_telemetry` reads, and `commands`."""
    sensors = _CPU_SENSORS.format(chips="|".join(linux.CPU_SENSORS))
    throttled = [pattern for pattern in linux.TELEMETRY_FILES if pattern.endswith("/get_throttled")]
    asked = _THROTTLED.format(patterns=" ".join(throttled), timeout_s=THROTTLED_TIMEOUT_S)
    return _script(mark, root, linux.TELEMETRY_FILES) + sensors + asked + _asking(commands) + "end\n"


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
    for name in sorted(records, key=lambda name: not name.startswith(_DEFAULT_PYTHON)):
        if not name.startswith((_DEFAULT_PYTHON, _OTHER_PYTHON)):
            continue
        told = _TOLD.search(records[name])  # a wrapper may have printed before it
        if told is None:
            continue
        if name.startswith(_DEFAULT_PYTHON):
            default = told["full"]
        if told["make"] == "cpython":
            python = Interpreter(path=told["path"], version=told["version"], soabi=told["soabi"])
            found.setdefault(python.path, python)
            libc = libc or told["libc"]
    return Pythons(interpreters=tuple(found.values()), default=default, libc=libc)


def _script(mark: str, root: str, patterns: Sequence[str]) -> str:
    lines = "".join(f"{'line' if _holds_one_line(pattern) else 'whole'} {pattern}\n" for pattern in patterns)
    return _PRELUDE.format(mark=mark, root=quoted_path(root), end=_END) + lines


def _asking(commands: Sequence[str]) -> str:
    return "".join(
        _COMMAND.format(name=quote(command), timeout_s=COMMAND_TIMEOUT_S, command=command)
        for command in commands
    )


def _records(
    shell: Shell, script: str, mark: str, *, attempted: str, timeout_s: float = SCRIPT_TIMEOUT_S
) -> dict[str, str]:
    """What the script printed, to its end: half of what a device is would be another device."""
    done = shell.call(script, attempted=attempted, timeout_s=timeout_s)
    files = parse_records(done.stdout, mark)
    if _END not in files:
        raise TransientDeviceError(
            f"{shell.device}: cannot {attempted}: its answer was cut short (exit code {done.exit_code})"
        )
    return files


def _holds_one_line(pattern: str) -> bool:
    """Whether `read` will do: such files have no NUL, and what they hold ends with their first line."""
    if pattern.startswith("sys/"):
        return not pattern.startswith("sys/firmware/")
    return pattern.startswith("proc/sys/") or pattern == "proc/loadavg"
