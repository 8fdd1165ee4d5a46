"""One big file on its way here: its content by the connection's quickest way, hashed there meanwhile."""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from devices.base import DeviceError, TransientDeviceError
from devices.remote.beside import Beside
from devices.remote.sending import HASH_LARGE, PROLOGUE, SUM, explained
from devices.remote.shell import Shell, quote
from devices.remote.transport import FileRefusedError

PULL_TIMEOUT_S = 3600.0
"""How much is coming is known only when it comes."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """A file there. `stamp` changes when its content does; empty when the device cannot tell one."""

    path: str
    stamp: bytes


STAMP = "stat -L -c '%i %s %y %z' \"$s\" 2>/dev/null"
"""Prints what changes when the file `$s` does."""

DESCRIBE = f"""{STAMP} || echo
case "$s" in /*) printf '%s\\n' "$s" ;; *) printf '%s\\n' "$PWD/$s" ;; esac
"""
"""Prints what `described` reads."""


def described(printed: bytes) -> Described:
    """What the script DESCRIBE printed."""
    stamp, _, path = printed.removesuffix(b"\n").partition(b"\n")
    return Described(path=os.fsdecode(path), stamp=stamp)


def fetch(
    shell: Shell, file: Described, into: Path, *, attempted: str, on_bytes: Callable[[int], object]
) -> None:
    """Write the content of a file there to `into`; raises DeviceError, TransientDeviceError, OSError.

    The device hashes it at the same time where it can tell that the file does not change meanwhile.
    """
    digest = hashlib.sha256()
    check = Beside(partial(_checked, shell, file, attempted))
    with into.open("wb") as stream:

        def take(data: bytes | memoryview) -> None:
            if file.stamp:
                check.start()  # not before the content: where only one of them can be, it is that
            stream.write(data)
            digest.update(data)
            on_bytes(len(data))

        try:
            _get(shell, file, take, attempted)
        except BaseException:
            check.abandon()
            raise
    there = None
    with suppress(DeviceError):
        there = check.end()
    if there is None:
        there = _checked(shell, file, attempted)
    if there != (digest.hexdigest(), file.stamp):
        raise changed(shell.device, attempted)


def changed(device: str, attempted: str) -> TransientDeviceError:
    """The error for content that is not what the device says it is."""
    return TransientDeviceError(
        f"{device}: cannot {attempted}: it came with other content than it has there; "
        "is something writing to it?"
    )


def _get(shell: Shell, file: Described, take: Callable[[bytes | memoryview], None], attempted: str) -> None:
    service = shell.transport.file_service
    if service is None:
        done = shell.call(f"cat {quote(file.path)}", attempted=attempted, sink=take, timeout_s=PULL_TIMEOUT_S)
        if done.exit_code != 0:
            raise explained(shell.device, attempted, done, needed=0)
        return
    try:
        service.receive_file(file.path, take, timeout_s=PULL_TIMEOUT_S)
    except FileRefusedError as error:
        raise DeviceError(f"{shell.device}: cannot {attempted}: {error}") from error


def _checked(shell: Shell, file: Described, attempted: str, stdin: Iterable[bytes] = ()) -> tuple[str, bytes]:
    """Hash and stamp of a file there, the stamp after the hash."""
    script = f'{PROLOGUE}s={quote(file.path)}\n{HASH_LARGE}$h <"$s" || exit 1\n{STAMP} || echo'
    done = shell.call(script, attempted=attempted, stdin=stdin, timeout_s=PULL_TIMEOUT_S)
    if done.exit_code != 0:
        raise explained(shell.device, attempted, done, needed=0)
    found, stamp = SUM.search(done.stdout), done.stdout.removesuffix(b"\n").rpartition(b"\n")[2]
    return found[1].decode() if found else "", stamp
