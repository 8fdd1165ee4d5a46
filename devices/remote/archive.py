"""Trees as tar streams: the same tree is the same bytes, and what comes in writes nowhere but in its place.

What goes out is in GNU format, which GNU tar, busybox and toybox read alike (pax names they do not), sorted,
owned by 0:0, of one fixed time, executable or not.
"""

import errno
import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Protocol, cast

MTIME = 315_619_200
"""1980-01-02: zip files can hold it, and only a clock that lost its battery thinks that it lies ahead."""

END = bytes(2 * tarfile.BLOCKSIZE)

_PIECE_BYTES = 1 << 18
_NAME_BYTES = 100


class UnsafeArchiveError(Exception):
    """A stream that would write, or point, outside of the directory it is meant for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a tree. `name` is relative, with `/`; `target` is what a link says."""

    path: Path
    name: str
    kind: Literal["file", "directory", "link"]
    size: int = 0
    executable: bool = False
    target: str = ""


def scan(root: Path) -> list[Entry]:
    """Everything below the directory `root`, parents before children, sorted; links are not followed.

    Raises OSError, with EINVAL for what is neither file, directory nor link.
    """
    return list(_scan(str(root), ""))


def _scan(folder: str, prefix: str) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        children = sorted(found, key=lambda child: child.name)
    for child in children:
        name = prefix + child.name
        if child.is_symlink():
            yield Entry(Path(child.path), name, "link", target=os.readlink(child.path))  # noqa: PTH115 - as it is
        elif child.is_dir():
            yield Entry(Path(child.path), name, "directory")
            yield from _scan(child.path, f"{name}/")
        else:
            yield file_entry(Path(child.path), name)


def file_entry(path: Path, name: str) -> Entry:
    """The entry of a regular file; raises OSError, with EINVAL for anything else."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return Entry(path, name, "file", size=status.st_size, executable=bool(status.st_mode & 0o111))


def directory_member(name: str) -> bytes:
    """The member that makes a directory."""
    return _header(f"{name}/", tarfile.DIRTYPE, mode=0o755)


def link_member(name: str, target: str) -> bytes:
    """The member that makes a symbolic link."""
    return _header(name, tarfile.SYMTYPE, mode=0o777, target=target)


def hard_link_member(name: str, target: str, mode: int) -> bytes:
    """The member that gives the file `target`, counted from where the stream is unpacked, a further name.

    `mode` is the file's own: some implementations set it again.
    """
    return _header(name, tarfile.LNKTYPE, mode=mode, target=target)


def file_header(name: str, size: int, mode: int) -> bytes:
    """What stands before a file's content; `padding(size)` stands after it."""
    return _header(name, tarfile.REGTYPE, mode=mode, size=size)


def padding(size: int) -> bytes:
    """Zeros that fill up a file's last block."""
    return bytes(-size % tarfile.BLOCKSIZE)


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a packet."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)


class Readable(Protocol):
    """What an archive is read from."""

    def read(self, count: int, /) -> bytes:
        """So many bytes, or fewer at the end."""
        ...


def extract(stream: Readable, into: Path) -> list[str]:
    """Unpack a tar stream into the new directory `into`; returns the files' SHA-256 in hexadecimal.

    Links are made last, so that nothing is written through them, and each has to lead to a place in `into`.
    Raises UnsafeArchiveError, tarfile.TarError (also for a stream that ends early), OSError.
    """
    into.mkdir()
    hashes: list[str] = []
    links: list[tuple[Path, str]] = []
    source = cast("IO[bytes]", stream)  # of which a stream of blocks wants no more than `read`
    with tarfile.open(fileobj=source, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            path = _inside(into, member.name)
            if member.isdir():
                path.mkdir(exist_ok=True)
            elif member.issym():
                links.append((path, member.linkname))
            elif member.islnk():
                shutil.copy(_inside(into, member.linkname), path, follow_symlinks=False)
                hashes.append(_sha256(path))
            elif member.isreg():
                hashes.append(_write(archive, member, path))
            else:
                raise UnsafeArchiveError(f"{member.name!r} is neither file, directory nor link")
    for path, target in links:
        path.symlink_to(target)
    # Only now: a link may lead through another one.
    root = os.path.realpath(into)
    for path, target in links:
        if os.path.isabs(target) or not Path(os.path.realpath(path)).is_relative_to(root):  # noqa: PTH117 - a string
            raise UnsafeArchiveError(f"the link {path.name!r} leads to {target!r}, outside of the tree")
    return hashes


def _inside(root: Path, name: str) -> Path:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise UnsafeArchiveError(f"{name!r} lies outside of the tree")
    return root / pure


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> str:
    content = archive.extractfile(member)
    if content is None:
        raise tarfile.ReadError(f"{member.name!r} has no content")
    digest = hashlib.sha256()
    with path.open("xb") as writing:
        while chunk := content.read(_PIECE_BYTES):
            writing.write(chunk)
            digest.update(chunk)
        if writing.tell() != member.size:
            raise tarfile.ReadError(f"{member.name!r} ends early")
    if member.mode & 0o111:
        path.chmod(path.stat().st_mode | 0o111)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _header(name: str, kind: bytes, *, mode: int, size: int = 0, target: str = "") -> bytes:
    raw_name, raw_target = os.fsencode(name), os.fsencode(target)
    if len(raw_name) > _NAME_BYTES or len(raw_target) > _NAME_BYTES or size >= 8**11:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size, info.mode, info.mtime = kind, target, size, mode, MTIME
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    # What tarfile would write, at a tenth of its time: it counts with a thousand small files.
    begin = b"%s%07o\0%s%011o\0%011o\0" % (raw_name.ljust(100, b"\0"), mode, b"0000000\0" * 2, size, MTIME)
    end = kind + raw_target.ljust(100, b"\0") + b"ustar  \0"
    checksum = sum(begin) + sum(end) + 8 * 0x20
    return (begin + b"%06o\0 " % checksum + end).ljust(tarfile.BLOCKSIZE, b"\0")
