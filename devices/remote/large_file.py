"""One big file on its way to a device: its content by the connection's quickest way, checked there meanwhile.

It grows under a temporary name, goes on after what came before, is hashed on both sides as it grows, and is
renamed when the hashes agree. A dropped connection leaves what came, for the next time.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from devices.base import Completed
from devices.remote.passing_check import BLOCK_BYTES, PassingCheck
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
from devices.remote.shell import Shell, new_token, quote
from devices.remote.transport import FileRefusedError

SIZE = 'size() { set -- $(ls -ln "$p" 2>/dev/null); echo "${5:-0}"; }\n'
"""Defines `size`, which prints that of the file `$p`, 0 where there is none."""

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

_FAIL = """fail() {
    for left in "$p" "$n"; do [ ! -e "$left" ] || true >"$left"; done 2>/dev/null
    rm -f "$p" "$n"
    df -Pk "${p%/*}"
    exit $1
}
"""
"""Emptied first: whoever still has it open keeps no room, and `df` tells all that is free."""


@dataclass(frozen=True, kw_only=True)
class LargeFile:
    """A big file here and where it goes: it grows as `partial`, then becomes `target`, absolute paths both.

    `sha256` is what it has to be, where that was promised. `mode` is for chmod; empty leaves it to the
    device. `durable`: on the disk before it is renamed.
    """

    local: Path
    size: int
    partial: str
    target: str
    sha256: str | None = None
    mode: str = ""
    durable: bool = False


def send(shell: Shell, file: LargeFile, *, offset: int, attempted: str, tally: Tally) -> None:
    """Send what is missing of a file of which `offset` bytes are there, and give it its name.

    What is there with other content than ours is thrown away, and the file sent anew, once. Raises
    DeviceError, TransientDeviceError, OSError for the local file.
    """
    sending = _Sending(shell=shell, file=file, attempted=attempted, token=new_token())
    tally.skip(offset)
    done = sending.send(offset, tally)
    if done.exit_code == DIFFERS and offset:
        tally.restart()
        done = sending.send(0, tally)
    if done.exit_code != 0:
        raise explained(shell.device, attempted, done, needed=file.size)


def identity(local: Path) -> tuple[str, int, int, int]:
    """What changes when the file `local` does; raises OSError."""
    status = local.stat()
    return os.fspath(local.resolve()), status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, kw_only=True)
class _Sending:
    """A file on its way; `token` makes a name that only this attempt has."""

    shell: Shell
    file: LargeFile
    attempted: str
    token: str

    def send(self, offset: int, tally: Tally) -> Completed:
        """Bring what is missing after `offset` and give it its name; what is not as it is here is removed."""
        before = identity(self.file.local)
        try:
            with PassingCheck(self._sha256_of_what_passes) as check:
                self._bring(self._content(offset, tally, check), offset)
        except _NotTakenError as error:
            return error.done
        except FileRefusedError as error:
            return replace(self._remove(), exit_code=1, stderr=str(error).encode())
        wanted = self.file.sha256 or check.sha256
        if check.sha256 != wanted or identity(self.file.local) != before:
            self._remove()
            raise OSError(errno.EBUSY, "changed while it was sent", str(self.file.local))
        return self._finish(check)

    def _content(self, offset: int, tally: Tally, check: PassingCheck) -> Iterator[bytes]:
        position = 0
        for chunk in content(self.file.local, self.file.size, Tally(0, None)):
            begin = max(0, offset - position)
            position += len(chunk)
            if begin < len(chunk):
                yield chunk[begin:] if begin else chunk
                tally.add(len(chunk) - begin)
            check.passed(chunk)

    def _bring(self, pieces: Iterator[bytes], offset: int) -> None:
        """Raises _NotTakenError, FileRefusedError, TransientDeviceError, OSError."""
        service, timeout_s = self.shell.transport.file_service, transfer_timeout_s(self.file.size - offset)
        if service is None or offset:
            self._append(pieces, offset, timeout_s)
        else:
            service.send_file(pieces, f"{self.file.partial}.{self.token}", timeout_s=timeout_s)

    def _append(self, pieces: Iterator[bytes], offset: int, timeout_s: float) -> None:
        # What an archive left half there has the archive's mode, which only root writes through.
        script = f"""{self._names}{_FAIL}
[ "$(size)" = {offset} ] || fail {DIFFERS}
[ ! -e "$p" ] || [ -w "$p" ] || chmod u+w "$p" || fail 1
cat >>"$p" || fail 1"""
        done = self.shell.call(script, attempted=self.attempted, stdin=pieces, timeout_s=timeout_s)
        if done.exit_code != 0:
            raise _NotTakenError(done)

    def _sha256_of_what_passes(self, lines: Iterator[bytes]) -> str:
        """Hash of the file there, made of each segment in `lines` once it is there; empty when there is none.

        A service that cannot finish a file removes it under the name it knows: so it gets another at once.
        """
        script = f"""{self._names}{AT_LEAST}{_PATIENCE}{HASH_LARGE}
until [ -e "$n" ] || [ -s "$p" ]; do wait_a_moment; done
[ ! -e "$n" ] || mv -f "$n" "$p" || exit 1
before=0
while read -r first count end; do
    until now=$(size); at_least "$now" "$end"; do
        [ "$now" = "$before" ] || patience=250
        before=$now
        wait_a_moment
    done
    dd if="$p" bs={BLOCK_BYTES} skip="$first" count="$count" 2>/dev/null || exit 1
done | $h"""
        timeout_s = transfer_timeout_s(self.file.size)
        done = self.shell.call(script, attempted=self.attempted, stdin=lines, timeout_s=timeout_s)
        found = SUM.search(done.stdout)
        return found[1].decode() if found else ""

    def _finish(self, check: PassingCheck) -> Completed:
        hashed = f"""{HASH_LARGE}s=$($h <"$p") || fail 1
[ "${{s%% *}}" = {check.sha256} ] || fail {DIFFERS}"""
        script = f"""{self._names}{_FAIL}
[ ! -e "$n" ] || mv -f "$n" "$p" || fail 1
[ "$(size)" = {self.file.size} ] || exit {INCOMPLETE}
{":" if check.found == check.sha256 else hashed}
{f'chmod {self.file.mode} "$p" || fail 1' if self.file.mode else ":"}
{"sync" if self.file.durable else ":"}
mv -f "$p" "$t" || fail 1"""
        timeout_s = transfer_timeout_s(self.file.size)
        return self.shell.call(script, attempted=self.attempted, timeout_s=timeout_s)

    def _remove(self) -> Completed:
        return self.shell.call(f"{self._names}{_FAIL}fail 0", attempted=self.attempted)

    @property
    def _names(self) -> str:
        # The new file has a name of its own each time: an adbd that notices late that its line is dead
        # deletes what it was writing by name.
        partial, target = quote(self.file.partial), quote(self.file.target)
        return f"{PROLOGUE}p={partial}; n=$p.{self.token}; t={target}\n{SIZE}"


class _NotTakenError(Exception):
    """A script did not take the content, and removed what was there; `done` is how it ended."""

    def __init__(self, done: Completed) -> None:
        super().__init__(done)
        self.done = done
