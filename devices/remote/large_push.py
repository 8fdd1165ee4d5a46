"""One big file on its way there: its content by the connection's quickest way, checked over there meanwhile.

It grows under a temporary name, is hashed on both sides as it grows, and is renamed when the hashes agree. A
dropped connection leaves what came, for the next time.
"""

import errno
import hashlib
import os
import posixpath
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from devices.base import Completed, DeviceError, Progress, TransientDeviceError
from devices.remote import archive
from devices.remote.beside import Beside
from devices.remote.sending import (
    DIFFERS,
    HASH_LARGE,
    INCOMPLETE,
    PROLOGUE,
    SUM,
    Tally,
    content,
    explained,
    transfer_timeout_s,
)
from devices.remote.shell import Shell, new_token, quoted_path
from devices.remote.transport import FileRefusedError

SEGMENT_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 20
_FAST_BYTES_S = 250e6
"""On a line that is faster than that a device with few cores is slowed down by checking meanwhile."""

_SIZE = 'size() { set -- $(ls -ln "$p" 2>/dev/null); echo "${5:-0}"; }\n'
AT_LEAST = """at_least() {
    [ ${#1} -eq ${#2} ] || { [ ${#1} -gt ${#2} ]; return; }
    [ ${#1} -gt 9 ] || { [ "$1" -ge "$2" ]; return; }
    a=${1%??????}; b=${2%??????}
    [ "$a" = "$b" ] || { [ "$a" -gt "$b" ]; return; }
    [ "1${1#"$a"}" -ge "1${2#"$b"}" ]
}
"""
"""Numbers of Android's shell have 32 bits, and files may have 2 GiB and more."""

_PATIENCE = """patience=250
wait_a_moment() {
    patience=$((patience - 1))
    [ $patience -gt 0 ] || exit 1
    sleep 0.02 2>/dev/null || { sleep 1; patience=$((patience - 49)); }
}
"""
"""Waits for a line that stands still for about five seconds; what was not checked then is so at the end."""


def push(
    shell: Shell, local: Path, folder: str, name: str, *, attempted: str, progress: Progress | None
) -> None:
    """Send the file `local` to `folder`/`name`; raises DeviceError, TransientDeviceError, OSError."""
    entry = archive.file_entry(local, "")
    file = _There(
        shell=shell,
        local=local,
        size=entry.size,
        executable=entry.executable,
        folder=folder,
        target=posixpath.join(folder, name),
        partial=posixpath.join(folder, partial_name(local, name)),
        attempted=attempted,
        token=new_token(),
    )
    offset, place = file.begin()
    tally = Tally(entry.size, progress)
    done = file.send(place, offset=offset, tally=tally)
    if done.exit_code == DIFFERS and offset:
        # What was there of it was not ours: once more, from the start.
        tally.restart()
        done = file.send(place, offset=0, tally=tally)
    if done.exit_code != 0:
        raise explained(shell.device, attempted, done, needed=entry.size)


def partial_name(local: Path, name: str) -> str:
    """What a file that becomes `name` is called while it grows there.

    The same one the next time, another when the file here has changed.
    """
    status = local.stat()
    identity = (os.fspath(local.resolve()), status.st_ino, status.st_size, status.st_mtime_ns)
    return f"{_prefix(name)}{hashlib.sha256(repr(identity).encode()).hexdigest()[:32]}.part"


def _prefix(name: str) -> str:
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-"


@dataclass(frozen=True, kw_only=True)
class _There:
    """A file on its way there: as `partial` in `folder`, then `target`."""

    shell: Shell
    local: Path
    size: int
    executable: bool
    folder: str
    target: str
    partial: str
    attempted: str
    token: str

    def begin(self) -> tuple[int, str]:
        """How many bytes of it are there, and the folder's absolute path, which exists then."""
        name, own = posixpath.basename(self.target), posixpath.basename(self.partial)
        # What would be refused at the end is refused before so much is sent; with what was begun of another
        # content nobody goes on.
        script = f"""{self._names}d={quoted_path(self.folder)}
[ -d "$d" ] || mkdir -p "$d" || exit 1
[ ! -d "$t" ] || {{ echo "it is a folder, and a file was to take its place" >&2; exit 1; }}
{HASH_LARGE}
set +f
for old in "$d"/{_prefix(name)}*; do [ "${{old##*/}}" = {own} ] || rm -f "$old" || exit 1; done
set -f
o=$(size)
[ "$o" != 0 ] || rm -f "$p" || exit 1
echo "$o" && cd "$d" && pwd"""
        done = self.shell.call(script, attempted=self.attempted)
        if done.exit_code != 0:
            raise explained(self.shell.device, self.attempted, done, needed=self.size)
        offset, newline, place = done.stdout.removesuffix(b"\n").partition(b"\n")
        if not (offset.isdigit() and newline):
            raise TransientDeviceError(
                f"{self.shell.device}: cannot {self.attempted}: its answer cannot be read"
            )
        if int(offset) > self.size:
            self._remove()
            return 0, os.fsdecode(place)
        return int(offset), os.fsdecode(place)

    def send(self, place: str, *, offset: int, tally: Tally) -> Completed:
        """Bring what is missing and give it its name; what is not as it is here is removed there."""
        tally.skip(offset)
        with _Check(self._sha256_of_what_passes) as check:
            done = self._bring(place, self._content(offset, tally, check), offset)
        if done.exit_code != 0:
            return done
        if posixpath.basename(self.partial) != partial_name(self.local, posixpath.basename(self.target)):
            raise OSError(errno.EBUSY, "changed while it was sent", str(self.local))
        return self._finish(check)

    def _content(self, offset: int, tally: Tally, check: "_Check") -> Iterator[bytes]:
        position = 0
        for chunk in content(self.local, self.size, Tally(0, None)):
            begin = max(0, offset - position)
            position += len(chunk)
            if begin < len(chunk):
                yield chunk[begin:] if begin else chunk
                tally.add(len(chunk) - begin)
            check.passed(chunk)

    def _bring(self, place: str, pieces: Iterator[bytes], offset: int) -> Completed:
        service, timeout_s = self.shell.transport.file_service, transfer_timeout_s(self.size - offset)
        if service is None or offset:
            script = f"""{self._names}{self._fail}
[ "$(size)" = {offset} ] || fail {DIFFERS}
cat >>"$p" || fail 1"""
            return self.shell.call(script, attempted=self.attempted, stdin=pieces, timeout_s=timeout_s)
        new = f"{posixpath.join(place, posixpath.basename(self.partial))}.{self.token}"
        try:
            service.send_file(pieces, new, timeout_s=timeout_s)
        except FileRefusedError as error:
            left = self._remove()
            return replace(left, exit_code=1, stderr=str(error).encode())
        return Completed(exit_code=0, stdout=b"", stderr=b"", seconds=0.0)

    def _sha256_of_what_passes(self, lines: Iterator[bytes]) -> str:
        """Hash of the file there, made of each segment in `lines` once it is there; empty when there is none.

        A service that cannot finish a file removes it under the name it knows: so it gets another at once.
        """
        script = f"""{self._names}{AT_LEAST}{_PATIENCE}{HASH_LARGE}
until [ -e "$n" ] || [ -e "$p" ]; do wait_a_moment; done
[ ! -e "$n" ] || mv -f "$n" "$p" || exit 1
before=0
while read -r first count end; do
    until now=$(size); at_least "$now" "$end"; do
        [ "$now" = "$before" ] || patience=250
        before=$now
        wait_a_moment
    done
    dd if="$p" bs={_BLOCK_BYTES} skip="$first" count="$count" 2>/dev/null || exit 1
done | $h"""
        timeout_s = transfer_timeout_s(self.size)
        done = self.shell.call(script, attempted=self.attempted, stdin=lines, timeout_s=timeout_s)
        found = SUM.search(done.stdout)
        return found[1].decode() if found else ""

    def _finish(self, check: "_Check") -> Completed:
        hashed = f"""{HASH_LARGE}s=$($h <"$p") || fail 1
[ "${{s%% *}}" = {check.sha256} ] || fail {DIFFERS}"""
        script = f"""{self._names}{self._fail}
[ ! -e "$n" ] || mv -f "$n" "$p" || fail 1
[ "$(size)" = {self.size} ] || exit {INCOMPLETE}
{":" if check.found == check.sha256 else hashed}
{'chmod 755 "$p" || fail 1' if self.executable else ":"}
mv -f "$p" "$t" || fail 1"""
        return self.shell.call(script, attempted=self.attempted, timeout_s=transfer_timeout_s(self.size))

    def _remove(self) -> Completed:
        return self.shell.call(f"{self._names}{self._fail}\nfail 0", attempted=self.attempted)

    @property
    def _names(self) -> str:
        # The new file has a name of its own each time: an adbd that notices late that its line is dead
        # deletes what it was writing by name.
        partial, target = quoted_path(self.partial), quoted_path(self.target)
        return f"{PROLOGUE}p={partial}; n=$p.{self.token}; t={target}\n{_SIZE}"

    @property
    def _fail(self) -> str:
        return 'fail() { rm -f "$p" "$n"; df -Pk "${p%/*}"; exit $1; }'


class _Check:
    """Hashes what passes, and on a line that is not too fast has the other side do so meanwhile.

    `ask` takes a line for each segment that passed (first block, number of blocks, end in bytes) and returns
    the hash of all of them, or nothing. That is `found`, after the block.
    """

    def __init__(self, ask: Callable[[Iterator[bytes]], str]) -> None:
        self.found = ""
        self._beside = Beside(ask)
        self._digest = hashlib.sha256()
        self._began = time.monotonic()
        self._position = self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._beside.abandon()
            return
        if self._beside.started and self._position > self._told:
            self._tell()
        with suppress(DeviceError):  # then it is checked at the end, or that says what is wrong
            self.found = self._beside.end() or ""

    @property
    def sha256(self) -> str:
        """Of all that passed."""
        return self._digest.hexdigest()

    def passed(self, chunk: bytes) -> None:
        """The next block was handed to the connection."""
        self._digest.update(chunk)
        self._position += len(chunk)
        if self._position % SEGMENT_BYTES:
            return
        if not self._beside.started:
            if self._position / (time.monotonic() - self._began) > _FAST_BYTES_S:
                return
            self._beside.start()
        self._tell()

    def _tell(self) -> None:
        first, count = self._told // _BLOCK_BYTES, -(-(self._position - self._told) // _BLOCK_BYTES)
        self._beside.tell(b"%d %d %d\n" % (first, count, self._position))
        self._told = self._position
