"""The scripts that have a device say what it is and how it feels: its files, its Pythons, what it answers.

Every record begins with a word drawn for the call, so that no content is taken for a record. Sensors may
answer with an error, be unreadable or not be there: they are absent then.
"""

from collections.abc import Sequence

from devices import linux
from devices.remote.shell import quote, quoted_path

PYTHON_NAMES = ("python3", *(f"python3.{minor}" for minor in range(20, 7, -1)))
PYTHON_PLACES = ("/usr/bin", "/usr/local/bin", "/opt/*/bin", "~/.pyenv/versions/*/bin", "~/miniforge3/bin")
PYTHON_TIMEOUT_S = 20
THROTTLED_TIMEOUT_S = 5
COMMAND_TIMEOUT_S = 5

UNAME, LIBC, BITS, END = "uname -m", "libc", "bits", "end"
"""Records that are no files; the last one tells that all was said."""

DEFAULT_PYTHON, OTHER_PYTHON = "python3:", "python:"
"""What the names of records of interpreters begin with, before their paths."""

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

# `line`s are kept in a variable and printed together: printf is a program of its own in Android's shell.
# Whether there is a timeout is asked by what it prints: toybox 0.8.9 loses exit codes of what ends at once.
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
    [ -n "$limited" ] || {{ limited=$(timeout 9 echo yes); limited=${{limited:-no}}; }}
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


def facts_script(mark: str, root: str, commands: Sequence[str] = ()) -> str:
    """POSIX script that prints FACT_FILES, system, interpreters and `commands` as records of `mark`."""
    interpreters = _INTERPRETERS.format(
        timeout_s=PYTHON_TIMEOUT_S,
        code=quote(_ASK_PYTHON),
        first=DEFAULT_PYTHON,
        other=OTHER_PYTHON,
        names=" ".join(PYTHON_NAMES),
        places=" ".join(place.replace("~/", '"$HOME"/') for place in PYTHON_PLACES),
    )
    system = _SYSTEM.format(uname=UNAME, libc=LIBC, bits=BITS)
    return _script(mark, root, linux.FACT_FILES) + system + interpreters + _asking(commands) + "end\n"


def telemetry_script(mark: str, root: str, commands: Sequence[str] = ()) -> str:
    """POSIX script that prints TELEMETRY_FILES, what else `parse_telemetry` reads, and `commands`."""
    sensors = _CPU_SENSORS.format(chips="|".join(linux.CPU_SENSORS))
    throttled = [pattern for pattern in linux.TELEMETRY_FILES if pattern.endswith("/get_throttled")]
    asked = _THROTTLED.format(patterns=" ".join(throttled), timeout_s=THROTTLED_TIMEOUT_S)
    return _script(mark, root, linux.TELEMETRY_FILES) + sensors + asked + _asking(commands) + "end\n"


def _script(mark: str, root: str, patterns: Sequence[str]) -> str:
    lines = "".join(f"{'line' if _holds_one_line(pattern) else 'whole'} {pattern}\n" for pattern in patterns)
    return _PRELUDE.format(mark=mark, root=quoted_path(root), end=END) + lines


def _asking(commands: Sequence[str]) -> str:
    return "".join(
        _COMMAND.format(name=quote(command), timeout_s=COMMAND_TIMEOUT_S, command=command)
        for command in commands
    )


def _holds_one_line(pattern: str) -> bool:
    """Whether `read` will do: such files have no NUL, and what they hold ends with their first line."""
    if pattern.startswith("sys/"):
        return not pattern.startswith("sys/firmware/")
    return pattern.startswith("proc/sys/") or pattern == "proc/loadavg"
