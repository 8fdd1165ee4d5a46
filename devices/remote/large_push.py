"""One big file to any path of a device: what of it is there from before, and where it grows."""

import hashlib
import os
import posixpath
from pathlib import Path

from devices.base import Progress, TransientDeviceError
from devices.remote import archive, large_file
from devices.remote.sending import HASH_LARGE, PROLOGUE, Tally, explained
from devices.remote.shell import Shell, quoted_path


def push(
    shell: Shell, local: Path, folder: str, name: str, *, attempted: str, progress: Progress | None
) -> None:
    """Send the file `local` to `folder`/`name`; raises DeviceError, TransientDeviceError, OSError."""
    entry = archive.file_entry(local, "")
    partial = partial_name(local, name)
    offset, place = _begin(shell, folder, name, partial, size=entry.size, attempted=attempted)
    file = large_file.LargeFile(
        local=local,
        size=entry.size,
        partial=posixpath.join(place, partial),
        target=posixpath.join(place, name),
        mode="755" if entry.executable else "",
    )
    large_file.send(shell, file, offset=offset, attempted=attempted, tally=Tally(entry.size, progress))


def partial_name(local: Path, name: str) -> str:
    """What a file that becomes `name` is called while it grows there.

    The same one the next time, another when the file here has changed.
    """
    identity = repr(large_file.identity(local)).encode()
    return f"{_prefix(name)}{hashlib.sha256(identity).hexdigest()[:32]}.part"


def _prefix(name: str) -> str:
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-"


def _begin(
    shell: Shell, folder: str, name: str, partial: str, *, size: int, attempted: str
) -> tuple[int, str]:
    """How many bytes of it are there, and the folder's absolute path, which exists then.

    What would be refused at the end is refused before so much is sent; what was begun of another content, or
    is more than all of it, goes.
    """
    script = f"""{PROLOGUE}d={quoted_path(folder)}; t={quoted_path(posixpath.join(folder, name))}
p={quoted_path(posixpath.join(folder, partial))}
{large_file.SIZE}
[ -d "$d" ] || mkdir -p "$d" || exit 1
[ ! -d "$t" ] || {{ echo "it is a folder, and a file was to take its place" >&2; exit 1; }}
{HASH_LARGE}
set +f
for old in "$d"/{_prefix(name)}*; do [ "${{old##*/}}" = {partial} ] || rm -f "$old" || exit 1; done
set -f
o=$(size)
{large_file.AT_LEAST}
[ "$o" = {size} ] || ! at_least "$o" {size} || {{ rm -f "$p"; o=0; }} || exit 1
echo "$o" && cd "$d" && pwd"""
    done = shell.call(script, attempted=attempted)
    if done.exit_code != 0:
        raise explained(shell.device, attempted, done, needed=size)
    offset, newline, place = done.stdout.removesuffix(b"\n").partition(b"\n")
    if not (offset.isdigit() and newline):
        raise TransientDeviceError(f"{shell.device}: cannot {attempted}: its answer cannot be read")
    return int(offset), os.fsdecode(place)
