"""What every way of sending shares: the pieces of scripts, the count of what is done, and what went wrong.

Hashes are made there by whatever the device has. Where a script fails it prints `df`, so that "no space left"
can be told with the numbers.
"""

import errno
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from devices.base import Completed, DeviceError, Progress
from devices.remote.shell import complaint
from devices.wording import mib

LARGE_BYTES = 8 << 20
"""From here on a file goes alone, and goes on where it was interrupted."""

NO_HASH, DIFFERS, INCOMPLETE = 90, 91, 92
"""Exit codes of scripts, above what tools use and below what signals make."""

PROLOGUE = "LC_ALL=C; export LC_ALL; set -f; "
"""Messages in English, and names with `*` stay names."""

HASH = (
    "if command -v sha256sum >/dev/null; then h=sha256sum; "
    "elif busybox sha256sum </dev/null; then h='busybox sha256sum'; "
    "elif toybox sha256sum </dev/null; then h='toybox sha256sum'; "
    "elif openssl dgst -sha256 -r </dev/null; then h='openssl dgst -sha256 -r'; "
    f"else exit {NO_HASH}; fi >/dev/null 2>&1; "
)
"""Sets `$h` to a command that prints `<sha256> ...` for each file it is given, or for its input."""

HASH_LARGE = (
    "if openssl dgst -sha256 -r </dev/null >/dev/null 2>&1; then h='openssl dgst -sha256 -r'; "
    f"else {HASH} fi; "
)
"""The same for much content: openssl is several times faster than coreutils, and slower to start."""

NO_SPACE_WORDS = """*[Nn]"o space left"*|*"quota exceeded"*|*": Wrote only "*"""
"""What tools say of a full disk, as a pattern of the shell's `case`; the last is GNU tar's."""

SUM = re.compile(rb"^\\?([0-9a-f]{64})\s", re.MULTILINE)
"""A line of what `$h` prints; names with a backslash have one before the hash."""

_SLOWEST_BYTES_S = 100_000
_CHUNK_BYTES = 1 << 20
_NO_SPACE = re.compile(rb"[Nn]o space left|quota exceeded|: Wrote only ")
_DF_LINE = re.compile(rb"\s(\d+)\s+(\d+)\s+(-?\d+)\s+(?:\d+%|-)\s+(\S.*)$")


class Tally:
    """Bytes of content that are done, of all, told to whoever wants to know; `sent` is for the log."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.sent = 0
        self._done = 0
        self._total = total
        self._progress = progress

    def add(self, count: int) -> None:
        """Count bytes that were handed to the connection."""
        self.sent += count
        self.skip(count)

    def restart(self) -> None:
        """All of it has to be sent anew."""
        self.skip(-self._done)

    def skip(self, count: int) -> None:
        """Count bytes that are there already."""
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def transfer_timeout_s(size: int) -> float:
    """How long moving `size` bytes may take on the slowest line worth having."""
    return 120.0 + size / _SLOWEST_BYTES_S


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal; raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content(path: Path, size: int, tally: Tally) -> Iterator[bytes]:
    """A file's bytes: exactly `size`, or OSError as it changed meanwhile."""
    done = 0
    with path.open("rb") as stream:
        while chunk := stream.read(min(_CHUNK_BYTES, size - done)):
            done += len(chunk)
            yield chunk
            tally.add(len(chunk))
    if done != size:
        raise OSError(errno.EBUSY, "changed while it was sent", str(path))


def explained(device: str, attempted: str, done: Completed, *, needed: int) -> DeviceError:
    """The error for a script that failed, by its exit code and what it printed."""
    told = f"{device}: cannot {attempted}"
    if done.exit_code == NO_HASH:
        return DeviceError(
            f"{told}: the device has nothing to check it with: "
            "install one of sha256sum (coreutils), busybox, toybox or openssl there"
        )
    if _NO_SPACE.search(done.stderr):
        return no_space(device, attempted, needed=needed, df=done.stdout)
    if done.exit_code == DIFFERS:
        return DeviceError(
            f"{told}: it arrived with other content; did it change meanwhile, or is the disk there failing?"
        )
    if done.exit_code == INCOMPLETE:
        return DeviceError(f"{told}: not all of it arrived; is something else writing there?")
    return DeviceError(f"{told}: {complaint(done)}")


def no_space(device: str, attempted: str, *, needed: int, df: bytes) -> DeviceError:
    """The error for a full disk, with the numbers of `df -Pk` when there are any."""
    free, mount = free_space(df)
    room = f", {mib(free)} free in {mount}" if free is not None else ""
    return DeviceError(
        f"{device}: cannot {attempted}: no space left ({mib(needed)} needed{room}): "
        "make room there or set `workdir` in the device's file"
    )


def free_space(df: bytes) -> tuple[int | None, str]:
    """Free bytes and mount point as `df -Pk` printed them; None when it did not."""
    for line in reversed(df.splitlines()):
        if found := _DF_LINE.search(line):
            return max(0, int(found[3])) * 1024, found[4].decode(errors="replace")
    return None, ""
