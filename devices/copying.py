"""Copy a file or a tree so that the target is either whole and checked, or not there."""

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from devices.base import Progress

_CHUNK_BYTES = 1 << 20


def size_bytes(source: Path) -> int:
    """Bytes of a file or of all files in a tree; raises OSError."""
    return sum(path.stat().st_size for path in _files(source))


def copy_checked(source: Path, target: Path, *, progress: Progress | None = None) -> None:
    """Copy `source` under a temporary name beside `target`, check size and SHA-256, then rename.

    Links inside a tree stay links; `source` itself is followed. A tree replaces a tree, a file a file. On
    failure nothing is left behind. Raises OSError, with EIO when the copy differs from its source.
    """
    tally = _Tally(size_bytes(source), progress)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        if source.is_dir():
            _copy_tree(source, scratch, tally)
        else:
            _copy_file(source, scratch, tally)
        replace(scratch, target)
    finally:
        remove(scratch)


def replace(scratch: Path, target: Path) -> None:
    """Give the finished `scratch` the name `target`; a tree replaces a tree, a file a file.

    What was there stays when that cannot be done. Raises OSError.
    """
    if not (scratch.is_dir() and target.exists()):
        scratch.replace(target)
        return
    if not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is a file, and a tree was to take its place", str(target))
    old = target.with_name(f".{uuid.uuid4().hex}.old")
    target.rename(old)
    try:
        scratch.rename(target)
    except OSError:
        old.rename(target)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Delete a file, link or tree; nothing there is fine. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class _Tally:
    """Bytes copied so far, told to whoever wants to know."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done = 0
        self._total = total
        self._progress = progress

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _files(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        yield source
        return
    for folder, _, names in os.walk(source, onerror=_raise):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                yield path


def _raise(error: OSError) -> None:
    raise error


def _copy_tree(source: Path, target: Path, tally: _Tally) -> None:
    target.mkdir()
    for child in sorted(source.iterdir()):
        copy = target / child.name
        if child.is_symlink():
            copy.symlink_to(child.readlink())
        elif child.is_dir():
            _copy_tree(child, copy, tally)
        else:
            _copy_file(child, copy, tally)
    shutil.copymode(source, target)


def _copy_file(source: Path, target: Path, tally: _Tally) -> None:
    if not source.is_file():
        raise OSError(errno.EINVAL, "is no regular file", str(source))
    sent = hashlib.sha256()
    with source.open("rb") as reading, target.open("xb") as writing:
        while chunk := reading.read(_CHUNK_BYTES):
            writing.write(chunk)
            sent.update(chunk)
            tally.add(len(chunk))
        size = reading.tell()
    with target.open("rb") as stream:
        arrived = hashlib.file_digest(stream, "sha256")
    if target.stat().st_size != size or arrived.digest() != sent.digest():
        raise OSError(errno.EIO, "arrived with other content than was sent", str(source))
    shutil.copymode(source, target)
