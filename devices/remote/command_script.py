"""One command as a script for a device, and the lines about it among what the script prints.

A shell over there starts the command, tells its own process number first and the command's status last. What
the command starts carries a word in its environment, so that it is found in /proc also when it has left the
process group.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devices.remote.shell import quote, quoted_path

OWNER = "POCKETBENCH_COMMAND"
"""Environment variable that every process of a command has."""

PASSED = ("LANG", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run: `argv` on the device, in `cwd`, with `env` added to PATH, HOME and PASSED."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    owner: str
    cpu_mask: int | None = None
    before: str = ""
    """A script of ours that makes `cwd` what it has to be; it comes with the command, in one line."""
    after: str = ""
    """A script of ours for when the command has come to its end, however it did."""

    def __str__(self) -> str:
        line = " ".join(map(quote, self.argv)).replace("\n", "\\n")
        return line if len(line) <= 200 else f"{line[:197]}..."


def script_of(command: Command, owner: str, token: str) -> str:
    """Runs `command`. On stderr: `TOKEN pid N`, then the command's own, then `TOKEN ended STATUS FROM TO`.

    Where there is a script `after`, its output follows `TOKEN after` on both, and `TOKEN done STATUS` tells
    that all of it was said.
    """
    program = command.argv[0]
    words = " ".join(map(quote, command.argv))
    if "=" in program:  # env would take it for a variable
        words = f'"$(command -v sh)" -c \'exec "$0" "$@"\' {words}'
    variables = " ".join(quote(f"{key}={value}") for key, value in command.env.items())
    inherited = " ".join(f'${{{name}+"{name}=${name}"}}' for name in PASSED)
    pinned = f"taskset {command.cpu_mask:x} " if command.cpu_mask is not None else ""
    mark = f"printf '\\n%s%s %s\\n' {token[:4]} {token[4:]}"
    after = ""
    if command.after:
        after = f'{mark} after; {mark} after >&3; ({command.after}) 2>&3; {mark} "done $?" >&3; '
    return (
        f'{mark} "pid $$" >&2; '
        f"{{ {command.before or ':'}; }} 2>/dev/null || {{ {mark} 'failed before' >&2; exit 0; }}; "
        f"cd {quoted_path(command.cwd)} 2>/dev/null || {{ {mark} 'failed cwd' >&2; exit 0; }}; "
        f"{_lookup(command)} || {{ step=program; [ -e {quote(program)} ] && step=permission; "
        f'{mark} "failed $step" >&2; exit 0; }}; '
        # The shell's own words about how the command died are not the command's.
        "exec 3>&2 2>/dev/null; read from rest </proc/uptime; "
        # OWNER first: busybox's grep sees no further than the first variable of an `environ`.
        f'(exec env -i {OWNER[:1]}"{OWNER[1:]}={owner}" "PATH=$PATH" "HOME=$HOME" {inherited} '
        f"{variables} {pinned}{words} 2>&3 3>&-); "
        "status=$?; read to rest </proc/uptime; "
        f'{mark} "ended $status $from $to" >&3; '
        # What the command left running would keep the connection's ends open. The group goes last, this
        # shell with it: all has been said.
        f"for file in $({owned_files(owner)}); do "
        f'pid=${{file#/proc/}}; kill -KILL "${{pid%/environ}}"; done; {after}kill -KILL -$$; exit 0'
    )


def owned_files(owner: str) -> str:
    """A command that prints the `environ` of every process of `owner`; put so that it does not find itself.

    Where commands are forced, sshd has the line it was given in the environment of the shell.
    """
    return f"grep -ls {quote(f'[{OWNER[:1]}]{OWNER[1:]}={owner}')} /proc/[0-9]*/environ"


def _lookup(command: Command) -> str:
    """A test whether the program is there, without a fork where possible."""
    program = quote(command.argv[0])
    if "/" in program:
        return f"[ -x {program} ]"
    if "PATH" in command.env:
        return f"(PATH={quote(command.env['PATH'])}; command -v {program} >/dev/null)"
    return f"command -v {program} >/dev/null"


def body(printed: bytes, token: str) -> bytes:
    """What the command itself printed on one of its streams."""
    _, mark, after = printed.partition(token.encode() + b"\n")
    if not mark:
        return b""
    return re.sub(rb"\n" + token.encode() + rb" [^\n]*\n", b"", after)


def reports(stderr: bytes, token: str) -> list[list[str]]:
    """The words of each line about the command, in order."""
    found = re.findall(rb"\n" + token.encode() + rb" ([^\n]*)\n", stderr)
    return [words.decode(errors="replace").split() for words in found]


def pids(stderr: bytes, token: str) -> list[int]:
    """The process number of the shell that started the command, if it was told."""
    told = [report for report in reports(stderr, token) if report[0] == "pid"]
    return [int(report[1]) for report in told if report[1].isdigit()]


def span_s(times: Sequence[str]) -> float:
    """Seconds from the first to the last of the times that `ended` tells; 0 where it has no clock."""
    try:
        return max(0.0, round(float(times[-1]) - float(times[0]), 2))
    except (IndexError, ValueError):
        return 0.0
