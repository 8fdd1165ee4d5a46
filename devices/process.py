"""Run one command on this machine with everything it starts held together (see devices/guard.py)."""

import errno
import marshal
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devices.base import CommandTimeoutError, Completed, DeviceError

_GUARD = Path(__file__).with_name("guard.py")
_STOP_TIMEOUT_S = 15.0
"""How long the guard may take to kill everything; longer than its own limit, so that it can report."""


_running: "set[_Leash]" = set()
"""Like the kernel's table of our children: what `stop_running` has to end."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run, fully spelled out: `env` is the whole environment, `cwd` an absolute path."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    cpus: tuple[int, ...] | None = None

    def __str__(self) -> str:
        line = shlex.join(self.argv).replace("\n", "\\n")
        return line if len(line) <= 200 else f"{line[:197]}..."


def run_contained(device: str, command: Command, *, stdin: bytes, timeout_s: float) -> Completed:
    """Run `command` to its end; whatever it left running is killed with it.

    `Completed.seconds` is the command's own span, without the guard's start. Should this process die, the
    command dies too. Raises CommandTimeoutError after `timeout_s`, when command and descendants are gone,
    and DeviceError when it cannot be started or withstands SIGKILL; both name `device`.
    """
    with ExitStack() as stack:
        leash = _Leash(stack, command)
        _running.add(leash)
        stack.callback(_running.discard, leash)
        guard = leash.guard
        try:
            stdout, stderr = guard.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            stdout, stderr = _stop(device, command, leash)
            _raise_left(device, command, leash.report())
            raise CommandTimeoutError(
                f"{device}: {command} did not end within {timeout_s:g} s, was killed with all its children: "
                "allow it more time, or see in its output where it hangs",
                stdout=stdout,
                stderr=stderr,
            ) from None
        return _completed(device, command, leash, stdout, stderr)


def stop_running() -> None:
    """End every command that other threads of this process are running; they see DeviceError."""
    for leash in tuple(_running):
        leash.let_go()


class _Leash:
    """The guard process and the host's ends of its pipes; closed with `stack`."""

    def __init__(self, stack: ExitStack, command: Command) -> None:
        order = stack.enter_context(os.fdopen(os.memfd_create("order"), "wb"))
        spec = (list(command.argv), dict(command.env), command.cwd, command.cpus)
        order.write(marshal.dumps(spec))
        order.flush()
        os.lseek(order.fileno(), 0, os.SEEK_SET)
        held, self._hold = os.pipe()
        self._reading, writing = os.pipe()
        stack.callback(self._close)
        try:
            self.guard = subprocess.Popen(
                # Isolated, without site: nothing of the user's Python set-up is loaded.
                [sys.executable, "-I", "-S", str(_GUARD), *map(str, (order.fileno(), held, writing))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(order.fileno(), held, writing),
                start_new_session=True,
            )
        finally:
            os.close(held)
            os.close(writing)
        stack.callback(self._bury)
        for stream in (self.guard.stdin, self.guard.stdout, self.guard.stderr):
            if stream is not None:
                stack.callback(_close_quietly, stream)

    def let_go(self) -> None:
        """Tell the guard to kill everything, in both ways it understands."""
        hold, self._hold = self._hold, -1
        if hold >= 0:
            os.close(hold)
        self.guard.terminate()

    def report(self) -> dict[str, list[str]]:
        """What the guard wrote, once it is gone: first word of each line -> the others."""
        written = b""
        while chunk := os.read(self._reading, 65536):
            written += chunk
        lines = [line.split() for line in written.decode().splitlines()]
        return {words[0]: words[1:] for words in lines}

    def _bury(self) -> None:
        """Whatever ends the wait, such as Ctrl-C, ends the command too."""
        if self.guard.poll() is None:
            self.let_go()
            with suppress(subprocess.TimeoutExpired):
                self.guard.wait(_STOP_TIMEOUT_S)

    def _close(self) -> None:
        if self._hold >= 0:
            os.close(self._hold)
        os.close(self._reading)


def _close_quietly(stream: IO[bytes]) -> None:
    with suppress(OSError):  # it may hold input the command did not read
        stream.close()


def _stop(device: str, command: Command, leash: _Leash) -> tuple[bytes, bytes]:
    leash.let_go()
    try:
        return leash.guard.communicate(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        leash.guard.kill()
        raise DeviceError(
            f"{device}: {command} could not be stopped within {_STOP_TIMEOUT_S:g} s; "
            "look for its processes and restart the device"
        ) from None


def _raise_left(device: str, command: Command, report: dict[str, list[str]]) -> None:
    if "left" in report:
        raise DeviceError(
            f"{device}: {command} left processes that withstand SIGKILL: {' '.join(report['left'])}; "
            "they wait in the kernel, for a disk or a driver: restart the device"
        )


def _completed(device: str, command: Command, leash: _Leash, stdout: bytes, stderr: bytes) -> Completed:
    leash.guard.wait()
    report = leash.report()
    if "failed" in report:
        step, number = report["failed"]
        raise _start_error(device, command, step, int(number))
    _raise_left(device, command, report)
    if "ended" not in report:
        raise DeviceError(
            f"{device}: {command}: the process that watches over it died "
            f"(exit code {leash.guard.returncode}); is the machine out of memory? "
            f"{stderr[-2000:].decode(errors='replace')}"
        )
    code = os.waitstatus_to_exitcode(int(report["ended"][0]))
    return Completed(
        exit_code=code if code >= 0 else 128 - code,
        stdout=stdout,
        stderr=stderr,
        seconds=int(report["ended"][1]) / 1e9,
        signal=_signal_name(-code) if code < 0 else None,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _start_error(device: str, command: Command, step: str, number: int) -> DeviceError:
    program = command.argv[0]
    reason = os.strerror(number)
    advice = {
        ("exec", errno.ENOENT): f"no program {program!r} (or no interpreter for it): install it there or "
        f"give its path; PATH is {command.env.get('PATH', '')}",
        ("exec", errno.EACCES): f"{program!r} is not executable: chmod +x it, and see that its disk is not "
        "mounted noexec",
        ("exec", errno.ENOEXEC): f"{program!r} is no program for this machine: was it built for another "
        "architecture, or does a script lack its #! line?",
        ("exec", errno.E2BIG): "its arguments and environment are too long: pass them in a file",
        ("cwd", errno.ENOENT): f"no directory {command.cwd!r}: make it first",
        ("cpus", errno.EINVAL): f"CPUs {command.cpus} are not there: correct `cpus` in the device's file",
    }
    told = advice.get((step, number), f"{reason} (while setting its {step})")
    return DeviceError(f"{device}: cannot run {command}: {told}")
