"""One command of the user's on a device: started by a script, watched from here, ended with all it started.

A shell over there starts the command, tells its own process number first and the command's status last. What
the command starts carries a word in its environment, so that it is found in /proc also when it has left the
process group, and killed. What leaves the group and clears its environment too is not found.
"""

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from devices.base import (
    CommandTimeoutError,
    Completed,
    DeviceError,
    NotStarted,
    NotStartedError,
    TransientDeviceError,
)
from devices.remote.shell import Shell, framed, new_token, no_shell, quote, quoted_path
from devices.remote.transport import Finished, NotFinishedError

OWNER = "POCKETBENCH_COMMAND"
"""Environment variable that every process of a command has."""

PASSED = ("LANG", "TMPDIR", "LD_LIBRARY_PATH")
SWEEP_TIMEOUT_S = 30.0
_SHELL_COMPLAINT = re.compile(rb": (line )?\d+: |syntax error|cannot execute|rmat error", re.IGNORECASE)


class NotPreparedError(DeviceError):
    """The script `before` failed; the command was not started."""


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


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended, and the script `after` it: None when that has not come to its end."""

    command: Completed
    after: Completed | None = None


def run(shell: Shell, command: Command, *, stdin: bytes = b"", timeout_s: float) -> Completed:
    """Run `command` to its end; what it leaves in its process group is killed.

    `Completed.seconds` is the device's own clock, to 10 ms. Raises CommandTimeoutError after `timeout_s`,
    when command and descendants are gone, TransientDeviceError when the connection is lost, DeviceError
    when the command cannot be started or withstands SIGKILL.
    """
    return run_whole(shell, command, stdin=stdin, timeout_s=timeout_s).command


def run_whole(shell: Shell, command: Command, *, stdin: bytes = b"", timeout_s: float) -> Ran:
    """Run `command` with what comes before and after it; raises as `run` does, and NotPreparedError.

    `timeout_s` is for all of it. The script `after` is cut short then, which is no error.
    """
    token = new_token()
    owner = f"{command.owner}.{token}"
    try:
        done = shell.transport.execute(
            framed(_script(command, owner, token), token),
            stdin=(stdin,) if stdin else (),
            timeout_s=timeout_s,
        )
    except NotFinishedError as error:
        sweep(shell, owner, started=_pids((error.stderr,), token))
        if any(report[0] == "ended" for report in _reports(error.stderr, token)):
            return _ran(shell, command, error.stdout, error.stderr, token)
        raise CommandTimeoutError(
            f"{shell.device}: {command} did not end within {timeout_s:g} s, was killed with all its "
            "children: allow it more time, or see in its output where it hangs",
            stdout=_body(error.stdout, token),
            stderr=_body(error.stderr, token),
        ) from None
    except BaseException as error:
        if not isinstance(error, TransientDeviceError):
            with suppress(DeviceError):  # such as Ctrl-C: nothing of ours goes on over there
                sweep(shell, owner, timeout_s=5.0)
        raise
    return _ran(shell, command, done.stdout, done.stderr, token)


def sweep(
    shell: Shell, owner: str, *, started: Iterable[int] = (), timeout_s: float = SWEEP_TIMEOUT_S
) -> None:
    """Kill everything whose OWNER begins with `owner`, and the process groups `started`; see that it is gone.

    Raises DeviceError naming what withstands SIGKILL.
    """
    groups = "".join(f"kill -KILL -{pid} 2>/dev/null; kill -KILL {pid} 2>/dev/null; " for pid in started)
    script = groups + (
        "round=0; "
        "while :; do "
        "left=; "
        f"for file in $({_owned(owner)} 2>/dev/null); do "
        'pid=${file#/proc/}; pid=${pid%/environ}; kill -KILL "$pid" 2>/dev/null; left="$left $pid"; done; '
        '[ -z "$left" ] && exit 0; '
        'round=$((round + 1)); [ "$round" -ge 50 ] && { echo "$left"; exit 1; }; '
        "sleep 0.1 2>/dev/null || sleep 1; done"
    )
    done = shell.call(script, attempted="end a command", timeout_s=timeout_s)
    if done.exit_code != 0:
        pids = done.stdout.decode(errors="replace").strip()
        raise DeviceError(
            f"{shell.device}: processes {pids} withstand SIGKILL; they wait in the kernel, for a disk "
            "or a driver: restart the device"
        )


def _script(command: Command, owner: str, token: str) -> str:
    """Frame on stderr: `TOKEN pid N`, then the command's own, then `TOKEN ended STATUS FROM TO`.

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
        f"for file in $({_owned(owner)}); do "
        f'pid=${{file#/proc/}}; kill -KILL "${{pid%/environ}}"; done; {after}kill -KILL -$$; exit 0'
    )


def _owned(owner: str) -> str:
    """Prints the `environ` of every process of `owner`; put so that it does not find itself.

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


def _ran(shell: Shell, command: Command, stdout: bytes, stderr: bytes, token: str) -> Ran:
    mark = f"\n{token} after\n".encode()
    (stdout, _, stdout_after), (stderr, _, stderr_after) = stdout.partition(mark), stderr.partition(mark)
    done = Finished(exit_code=None, stdout=stdout, stderr=stderr)
    completed = _completed(shell, command, done, token)
    match _reports(stderr_after, token):
        case [["done", status]] if status.isdigit():
            errors = stderr_after.rpartition(f"\n{token} ".encode())[0]
            after = Completed(exit_code=int(status), stdout=stdout_after, stderr=errors, seconds=0.0)
            return Ran(command=completed, after=after)
        case _:
            return Ran(command=completed)


def _completed(shell: Shell, command: Command, done: Finished, token: str) -> Completed:
    reports = _reports(done.stderr, token)
    last = reports[-1] if reports else []
    match last:
        case ["failed", "before"]:
            raise NotPreparedError(f"{shell.device}: cannot run {command}: cannot make {command.cwd}")
        case ["failed", step]:
            raise _start_error(shell.device, command, step)
        case ["ended", status, *times] if status.isdigit():
            code = int(status)
        case ["pid", _]:
            # The watching shell is gone before its command: somebody killed the whole group, or all of it
            # went down. A device that still answers tells the one from the other.
            shell.call(":", attempted=f"run {command}")
            return Completed(
                exit_code=128 + signal.SIGKILL,
                stdout=_body(done.stdout, token),
                stderr=_body(done.stderr, token),
                seconds=0.0,
                signal="SIGKILL",
            )
        case _:
            raise no_shell(shell.device, f"run {command}", done)
    stderr = _body(done.stderr, token)
    complaint = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if (code in {126, 127} and complaint.startswith(("env: ", "taskset: "))) or (
        code == 1 and command.cpu_mask is not None and complaint.startswith("taskset: ")
    ):
        raise _start_error(shell.device, command, complaint)
    if code in {2, 126, 127} and _SHELL_COMPLAINT.search(stderr) and _is_foreign(shell, command):
        raise _start_error(shell.device, command, "exec format error")
    return Completed(
        exit_code=code,
        stdout=_body(done.stdout, token),
        stderr=stderr,
        seconds=max(0.0, round(_seconds(times[-1]) - _seconds(times[0]), 2)) if times else 0.0,
        signal=_signal_name(code - 128) if 128 < code <= 192 else None,
    )


def _is_foreign(shell: Shell, command: Command) -> bool:
    """Whether the program is made for another machine; env has a shell try what the kernel cannot start."""
    program = quote(command.argv[0])
    if "/" not in program:
        searched = f"PATH={quote(command.env['PATH'])}; " if "PATH" in command.env else ""
        program = f'"$({searched}command -v {program})"'
    script = f"cd {quoted_path(command.cwd)} 2>/dev/null; head -c 20 {program} && head -c 20 /proc/self/exe"
    heads = shell.call(script, attempted=f"run {command}").stdout
    theirs, ours = heads[:20], heads[20:]
    both_elf = theirs.startswith(b"\x7fELF") and ours.startswith(b"\x7fELF")
    return both_elf and (theirs[4:6], theirs[18:]) != (ours[4:6], ours[18:])


def _body(printed: bytes, token: str) -> bytes:
    """What the command itself printed."""
    _, mark, after = printed.partition(token.encode() + b"\n")
    if not mark:
        return b""
    return re.sub(rb"\n" + token.encode() + rb" [^\n]*\n", b"", after)


def _reports(stderr: bytes, token: str) -> list[list[str]]:
    found = re.findall(rb"\n" + token.encode() + rb" ([^\n]*)\n", stderr)
    return [words.decode(errors="replace").split() for words in found]


def _pids(streams: Iterable[bytes], token: str) -> list[int]:
    reports = [report for stream in streams for report in _reports(stream, token)]
    return [int(report[1]) for report in reports if report[0] == "pid" and report[1].isdigit()]


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _start_error(device: str, command: Command, step: str) -> DeviceError:
    program = command.argv[0]
    cause: NotStarted = "other"
    if step == "cwd":
        cause, told = "directory", f"no directory {command.cwd!r}: make it first"
    elif step == "program":
        cause = "program"
        told = f"no program {program!r} that can be executed: install it there, or give its path"
    elif step == "permission" or "ermission denied" in step:
        cause = "permission"
        told = f"{program!r} is not executable: chmod +x it, and see that its disk is not mounted noexec"
    elif "format" in step:
        cause = "format"
        told = f"{program!r} is no program for this machine: was it built for another architecture?"
    elif step.startswith("taskset: "):
        cause = "pinning"
        told = f"it cannot be pinned ({step}): correct `cpus` in the device's file"
    else:
        told = step
    return NotStartedError(f"{device}: cannot run {command}: {told}", cause)
