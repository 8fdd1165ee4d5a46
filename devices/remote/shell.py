"""Scripts for a device's `sh`: quoting, frames that keep start-up files' noise out, one way to call.

No user text reaches a shell but through `quote`. A script has to be POSIX, must do with what toybox and
busybox have, and forks as little as it can: a fork costs 1 ms on a board and 40 ms under emulation.
"""

import secrets
import shlex
from collections.abc import Iterable

from devices.base import Completed, DeviceError, TransientDeviceError
from devices.remote.transport import Finished, Held, NotFinishedError, Sink, Transport

SCRIPT_TIMEOUT_S = 60.0

quote = shlex.quote


def quoted_path(path: str) -> str:
    """A path as a word of a script; `~` at its start is the home directory on the device."""
    if path == "~" or path.startswith("~/"):
        return '"$HOME"' + (quote(path[1:]) if path[1:] else "")
    return quote(path if path.startswith(("/", "./")) else f"./{path}")


class Shell:
    """Runs scripts over a transport and hands back what they, and only they, printed."""

    def __init__(self, device: str, transport: Transport) -> None:
        self.device = device
        self.transport = transport

    def call(
        self,
        script: str,
        *,
        attempted: str,
        stdin: Iterable[bytes] = (),
        sink: Sink | None = None,
        timeout_s: float = SCRIPT_TIMEOUT_S,
    ) -> Completed:
        """Run a script of ours; its exit code is for the caller to judge.

        `attempted` is what messages say was tried. Raises TransientDeviceError when the connection is lost
        or the device does not answer in time, DeviceError when no POSIX shell is there.
        """
        token = new_token()
        cleaned = Unframed(token, sink)
        try:
            done = self.transport.execute(
                framed(script, token), stdin=stdin, sink=cleaned.write, timeout_s=timeout_s
            )
        except NotFinishedError as error:
            raise TransientDeviceError(
                f"{self.device}: cannot {attempted}: no answer within {timeout_s:g} s; is the device hung?"
            ) from error
        stderr = unframed(done.stderr, token)
        if not cleaned.begun:
            raise no_shell(self.device, attempted, done)
        if done.exit_code is None:
            raise TransientDeviceError(f"{self.device}: cannot {attempted}: its shell was killed")
        return Completed(exit_code=done.exit_code, stdout=cleaned.kept, stderr=stderr, seconds=0.0)

    def checked(self, script: str, *, attempted: str, timeout_s: float = SCRIPT_TIMEOUT_S) -> bytes:
        """Stdout of a script that has to succeed; raises DeviceError with what it complained of."""
        done = self.call(script, attempted=attempted, timeout_s=timeout_s)
        if done.exit_code != 0:
            raise DeviceError(f"{self.device}: cannot {attempted}: {complaint(done)}")
        return done.stdout

    def hold(self, script: str, *, until: str, timeout_s: float = SCRIPT_TIMEOUT_S) -> tuple[Held, str]:
        """Start a script that stays; returns once it printed `until` or ended, with what it printed."""
        token = new_token()
        held, printed = self.transport.hold(framed(script, token), until=until.encode(), timeout_s=timeout_s)
        return held, unframed(printed, token).decode(errors="replace")


class Unframed:
    """Drops what comes before the frame's mark; keeps the rest, or passes it on."""

    def __init__(self, token: str, sink: Sink | None = None) -> None:
        self._mark = _mark(token)
        self._sink = sink
        self._noise = b""
        self._kept: list[bytes] = []
        self.begun = False

    @property
    def kept(self) -> bytes:
        """Everything after the mark, when there is no sink."""
        return b"".join(self._kept)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        if not self.begun:
            self._noise += chunk
            before, mark, chunk = self._noise.partition(self._mark)
            if not mark:
                self._noise = before[-65536:]
                return
            self.begun = True
        if chunk:
            (self._sink or self._kept.append)(chunk)


def new_token() -> str:
    """A word that nothing else prints."""
    return f"pb{secrets.token_hex(8)}"


def framed(script: str, token: str) -> str:
    """A line for any login shell that runs `script` in `sh`, with a mark where its own output begins."""
    # The mark is put together on the device: a shell that echoes its input must not print it.
    mark = f"printf '%s%s\\n' {token[:4]} {token[4:]}"
    # By its name alone: it is /system/bin/sh on Android, which has no /bin before version 9.
    return f"exec sh -c {quote(f'{mark}; {mark} >&2; {script}')}"


def unframed(printed: bytes, token: str) -> bytes:
    """What was printed after the mark; everything when the mark is not there."""
    before, mark, after = printed.partition(_mark(token))
    return after if mark else before


def complaint(done: Completed) -> str:
    """The last line of stderr, or the exit code."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else f"exit code {done.exit_code} and no word why"


def no_shell(device: str, attempted: str, done: Finished) -> DeviceError:
    """The error for output that never reached our mark."""
    said = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:] or "it said nothing"
    return DeviceError(
        f"{device}: cannot {attempted}: it does not run sh for this user (exit code {done.exit_code}: "
        f"{said}); does the account have a login shell, or a forced command?"
    )


def _mark(token: str) -> bytes:
    return token.encode() + b"\n"
