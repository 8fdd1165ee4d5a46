"""One command of the user's on a device: started by a script, watched from here, ended with all it started.

What the command starts is killed also when it has left the process group: it carries a word in its
environment (devices/remote/command_script.py). What leaves the group and clears its environment is not found.
"""

import re
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from devices.base import (
    CommandTimeoutError,
    Completed,
    DeviceError,
    NotStarted,
    NotStartedError,
)
from devices.remote import command_script
from devices.remote.command_script import Command
from devices.remote.shell import Shell, framed, new_token, no_shell, quote, quoted_path
from devices.remote.transport import Finished, NotFinishedError

SWEEP_TIMEOUT_S = 30.0
_SHELL_COMPLAINT = re.compile(rb": (line )?\d+: |syntax error|cannot execute|rmat error", re.IGNORECASE)


class NotPreparedError(DeviceError):
    """The script `before` failed; the command was not started."""


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
            framed(command_script.script_of(command, owner, token), token),
            stdin=(stdin,) if stdin else (),
            timeout_s=timeout_s,
        )
    except NotFinishedError as error:
        sweep(shell, owner, started=command_script.pids(error.stderr, token))
        if any(report[0] == "ended" for report in command_script.reports(error.stderr, token)):
            return _ran(shell, command, error.stdout, error.stderr, token)
        raise CommandTimeoutError(
            f"{shell.device}: {command} did not end within {timeout_s:g} s, was killed with all its "
            "children: allow it more time, or see in its output where it hangs",
            stdout=command_script.body(error.stdout, token),
            stderr=command_script.body(error.stderr, token),
        ) from None
    except BaseException:
        # Ctrl-C, or a command that was broken off alone: nothing of ours goes on over there.
        if shell.transport.connected:
            with suppress(DeviceError):
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
        f"for file in $({command_script.owned_files(owner)} 2>/dev/null); do "
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


def _ran(shell: Shell, command: Command, stdout: bytes, stderr: bytes, token: str) -> Ran:
    mark = f"\n{token} after\n".encode()
    (stdout, _, stdout_after), (stderr, _, stderr_after) = stdout.partition(mark), stderr.partition(mark)
    done = Finished(exit_code=None, stdout=stdout, stderr=stderr)
    completed = _completed(shell, command, done, token)
    match command_script.reports(stderr_after, token):
        case [["done", status]] if status.isdigit():
            errors = stderr_after.rpartition(f"\n{token} ".encode())[0]
            after = Completed(exit_code=int(status), stdout=stdout_after, stderr=errors, seconds=0.0)
            return Ran(command=completed, after=after)
        case _:
            return Ran(command=completed)


def _completed(shell: Shell, command: Command, done: Finished, token: str) -> Completed:
    reports = command_script.reports(done.stderr, token)
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
                stdout=command_script.body(done.stdout, token),
                stderr=command_script.body(done.stderr, token),
                seconds=0.0,
                signal="SIGKILL",
            )
        case _:
            raise no_shell(shell.device, f"run {command}", done)
    stderr = command_script.body(done.stderr, token)
    complaint = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if (code in {126, 127} and complaint.startswith(("env: ", "taskset: "))) or (
        code == 1 and command.cpu_mask is not None and complaint.startswith("taskset: ")
    ):
        raise _start_error(shell.device, command, complaint)
    if code in {2, 126, 127} and _SHELL_COMPLAINT.search(stderr) and _is_foreign(shell, command):
        raise _start_error(shell.device, command, "exec format error")
    return Completed(
        exit_code=code,
        stdout=command_script.body(done.stdout, token),
        stderr=stderr,
        seconds=command_script.span_s(times),
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
