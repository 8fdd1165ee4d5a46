"""Unpacking what a stranger packed: nothing is written outside, no link is made, no disk is filled.

Every member is looked at before anything is written. Links are never made: one that leads to a file of the
same archive becomes that file, any other is refused, so no later member can be written through one.
"""

import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Final, Literal, NamedTuple

from harness.errors import PocketbenchError
from harness.models.forms import Place
from harness.models.sources.folders import belongs, is_chosen, listing, nearest

SHARE_OF_FREE: Final = 0.9
"""How much of the free disk an archive may take when it is unpacked."""
MOST_MEMBERS: Final = 100_000

_BROKEN: Final = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError)


_LONGEST_PATH: Final = 4096
_Kind = Literal["file", "folder", "link", "special"]


class Member(NamedTuple):
    """One thing in an archive: its name as packed, and for a link the name it leads to, from the top."""

    name: str
    kind: _Kind
    size_bytes: int
    target: str
    open: Callable[[], IO[bytes] | None]


class UnsafeError(PocketbenchError):
    """An archive that must not be unpacked."""


def unpack(place: Place, archive: Path, target: Path) -> None:
    """Write the member of `archive` that `place` means, a file or a folder, to `target`.

    Raises UnsafeError for names or links that lead outside, devices, and more content than the disk can take;
    PocketbenchError for a broken archive and a member that is not there.
    """
    try:
        with _opened(place, archive) as members:
            files = _checked(place, members)
            _check_room(place, len(members), sum(m.size_bytes for m in files.values()), target.parent)
            _write(_wanted(place, files), target)
    except _BROKEN as error:
        raise PocketbenchError(
            f"source {place.source!r}: the archive is damaged or of no kind that is known ({error})"
        ) from error
    except RuntimeError as error:  # what zipfile raises for a password
        raise PocketbenchError(f"source {place.source!r}: the archive cannot be read: {error}") from error


def _opened(place: Place, archive: Path) -> AbstractContextManager[list[Member]]:
    zipped = place.where.partition("?")[0].lower().endswith(".zip")
    return _zip_members(archive) if zipped else _tar_members(place, archive)


@contextmanager
def _zip_members(archive: Path) -> Iterator[list[Member]]:
    with zipfile.ZipFile(archive) as opened:
        yield [_zip_member(opened, info) for info in opened.infolist()]


def _zip_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    # A program that packs on Unix puts the file's mode here, others nothing.
    mode = info.external_attr >> 16
    kind: _Kind = "folder" if info.is_dir() else "file"
    target = ""
    if stat.S_ISLNK(mode) and info.file_size <= _LONGEST_PATH:
        kind = "link"
        target = posixpath.join(posixpath.dirname(info.filename), opened.read(info).decode(errors="replace"))
    elif stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        kind = "special"
    return Member(info.filename, kind, info.file_size, target, lambda: opened.open(info))


@contextmanager
def _tar_members(place: Place, archive: Path) -> Iterator[list[Member]]:
    with tarfile.open(archive) as opened:
        members: list[Member] = []
        size_bytes = 0
        for info in opened:
            members.append(_tar_member(opened, info))
            size_bytes += info.size
            # Here already: to come to the next member, all of this one has to be decompressed.
            _check_room(place, len(members), size_bytes, archive.parent)
        yield members


def _tar_member(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    kind: _Kind = "special"
    target = ""
    if info.isfile():
        kind = "file"
    elif info.isdir():
        kind = "folder"
    elif info.issym():
        kind, target = "link", posixpath.join(posixpath.dirname(info.name), info.linkname)
    elif info.islnk():
        kind, target = "link", info.linkname
    return Member(info.name, kind, info.size, target, lambda: opened.extractfile(info))


def _checked(place: Place, members: Sequence[Member]) -> dict[str, Member]:
    """The files of an archive by their names, links followed; UnsafeError for what must not be unpacked."""
    files: dict[str, Member] = {}
    links: dict[str, str] = {}
    for member in members:
        if _leads_outside(member.name):
            raise _unsafe(place, f"its member {member.name!r} would be written outside of the folder")
        name = posixpath.normpath(member.name)
        if member.kind == "special":
            raise _unsafe(place, f"its member {member.name!r} is a device, pipe or socket")
        if member.kind == "link":
            if _leads_outside(member.target):
                raise _unsafe(place, f"its member {member.name!r} is a link outside, to {member.target!r}")
            links[name] = posixpath.normpath(member.target)
        elif member.kind == "file":
            if name in files or name in links:
                raise _unsafe(place, f"it holds {name!r} twice")
            files[name] = member
    files.update({name: _followed(place, name, links, files) for name in links})
    for name in files:
        if files.keys() & {str(parent) for parent in PurePosixPath(name).parents}:
            raise _unsafe(place, f"what {name!r} lies in is a file as well")
    return files


def _leads_outside(name: str) -> bool:
    normal = posixpath.normpath(name)
    return (
        not name
        or normal.startswith(("/", "../"))
        or normal == ".."
        or "\\" in name
        or "\0" in name
        or (len(name) > 1 and name[1] == ":")  # a drive of Windows
    )


def _followed(place: Place, name: str, links: Mapping[str, str], files: Mapping[str, Member]) -> Member:
    seen, at = {name}, links[name]
    while at in links and at not in seen:
        seen.add(at)
        at = links[at]
    if at not in files or at in seen:
        raise _unsafe(place, f"its member {name!r} is a link to {links[name]!r}, which is no file of it")
    return files[at]


def _check_room(place: Place, count: int, needed: int, folder: Path) -> None:
    """Raise UnsafeError when `count` members of `needed` bytes are more than the disk should take.

    The sizes are those that it states, and they bind: neither zipfile nor tarfile gives more of a member.
    """
    if count > MOST_MEMBERS:
        raise _unsafe(place, f"it has more than {MOST_MEMBERS} members, and no model has")
    free = shutil.disk_usage(folder).free
    if needed > free * SHARE_OF_FREE:
        raise _unsafe(
            place,
            f"unpacked it takes {needed / 2**20:.1f} MiB, and {free / 2**20:.1f} MiB are free in {folder}. "
            "If it is meant to be so large, make room there, or set POCKETBENCH_CACHE to a larger disk",
        )


def _wanted(place: Place, files: Mapping[str, Member]) -> dict[str, Member]:
    """What `place` means of the archive's files: by the path within the folder, by "" if it is one file."""
    member = place.member or "/"
    if not member.endswith("/"):
        if (name := posixpath.normpath(member)) not in files:
            raise PocketbenchError(_no_member(place, name, list(files)))
        return {"": files[name]}
    top = "" if member == "/" else f"{posixpath.normpath(member)}/"
    inside = {name.removeprefix(top): found for name, found in files.items() if name.startswith(top)}
    if not inside:
        folders = sorted({f"{posixpath.dirname(name)}/" for name in files if "/" in name})
        raise PocketbenchError(_no_member(place, member, folders or list(files)))
    visible = {n: f for n, f in inside.items() if all(map(belongs, n.split("/")))}
    chosen = {name: found for name, found in visible.items() if is_chosen(name, place)}
    if not chosen:
        raise PocketbenchError(
            f"source {place.source!r}: no file of the folder is taken; it holds {listing(sorted(inside))}"
        )
    return chosen


def _write(files: Mapping[str, Member], target: Path) -> None:
    for name, member in files.items():
        path = target / name if name else target
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = member.open()
        if opened is None:
            raise tarfile.ReadError(f"{member.name} cannot be read")
        with opened, path.open("xb") as file:
            shutil.copyfileobj(opened, file, 1 << 20)


def _unsafe(place: Place, why: str) -> UnsafeError:
    return UnsafeError(f"source {place.source!r}: the archive was not unpacked: {why}")


def _no_member(place: Place, member: str, names: Sequence[str]) -> str:
    return (
        f"source {place.source!r}: the archive holds no {member}. "
        f"Nearest in it: {listing(nearest(member, names))}"
    )
