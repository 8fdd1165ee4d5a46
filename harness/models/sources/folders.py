"""Files and folders as sources give them: which files belong to one, their digest, and how they are kept."""

import difflib
import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from harness.cache import file_sha256, tree_sha256
from harness.errors import PocketbenchError
from harness.models.forms import Place

_LFS: Final = b"version https://git-lfs.github.com/spec/"


def files_in(folder: Path) -> list[Path]:
    """The files of a folder at any depth, sorted; hidden ones and bytecode are no part of a model.

    Links to files count as the files, as a hub's own cache holds them; links to folders are not followed.
    """
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if belongs(name)]
        found += [Path(root, name) for name in names if belongs(name) and Path(root, name).is_file()]
    return sorted(found)


def belongs(name: str) -> bool:
    """Whether a file or folder called `name` is part of a model that lies around it."""
    return not name.startswith(".") and name != "__pycache__"


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of a folder's sorted names and contents (harness.cache.tree_sha256)."""
    return tree_sha256(path, files_in(path)) if path.is_dir() else file_sha256(path)


def is_chosen(name: str, place: Place) -> bool:
    """Whether the filters of `place` take the file `name`, a path relative to the folder.

    A pattern is matched against the whole path, in which * stands for any characters, also for /; one that
    ends with / stands for all within that folder.
    """
    return (not place.only or matches(name, place.only)) and not matches(name, place.without)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of `patterns` matches the path `name`."""
    return any(fnmatchcase(name, f"{one}*" if one.endswith("/") else one) for one in patterns)


def chosen_files(folder: Path, place: Place) -> list[Path]:
    """The files of `folder` that the filters of `place` take; PocketbenchError when they take none."""
    files = files_in(folder)
    chosen = [path for path in files if is_chosen(path.relative_to(folder).as_posix(), place)]
    if not chosen:
        names = [path.relative_to(folder).as_posix() for path in files]
        listed = f"it holds {listing(names)}" if names else "it is empty"
        raise PocketbenchError(f"source {place.source!r}: no file of the folder is taken; {listed}")
    return chosen


def link_files(files: Iterable[Path], folder: Path, target: Path) -> None:
    """Make `files`, which lie in `folder`, appear in `target` without taking room on the disk.

    They are hard links, or symbolic ones where those cannot be made, such as to another disk.
    """
    for path in files:
        place = target / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        link_file(path, place)


def link_file(path: Path, place: Path) -> None:
    """Make `path`, followed if it is a link itself, appear as `place`."""
    content = path.resolve()
    try:
        place.hardlink_to(content)
    except FileExistsError:
        raise
    except OSError:
        place.symlink_to(content)


def check_content(source: str, path: Path, sha256: str) -> None:
    """Raise PocketbenchError unless the file or folder at `path` is the one whose digest is `sha256`."""
    check_no_pointers(source, path)
    found = content_sha256(path)
    if found == sha256:
        return
    what = "folder" if path.is_dir() else "file"
    raise PocketbenchError(
        f"source {source!r} is not the {what} it should be: its sha256 is {found}, expected {sha256}. "
        f"If the {what} was changed on purpose, put its new sha256 in the zoo; if not, do not use it"
    )


def check_no_pointers(source: str, path: Path) -> None:
    """Raise PocketbenchError when a file is the pointer that git-lfs leaves in place of the content."""
    pointers = [file for file in (files_in(path) if path.is_dir() else [path]) if is_pointer(file)]
    if not pointers:
        return
    names = [p.relative_to(path).as_posix() if path.is_dir() else p.name for p in pointers]
    raise PocketbenchError(
        f"source {source!r}: {listing(names)} {'is a' if len(names) == 1 else 'are'} git-lfs "
        f"pointer{'' if len(names) == 1 else 's'} and not the content. In a clone, run `git lfs pull`; "
        "of a server, use the address that serves the content (resolve/ instead of raw/)"
    )


def is_pointer(path: Path) -> bool:
    """Whether a file is a git-lfs pointer (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""
    if path.stat().st_size >= 1024:
        return False
    return path.read_bytes().startswith(_LFS)


def nearest(name: str, names: Sequence[str], count: int = 5) -> list[str]:
    """Those of `names` that are meant most likely: alike in spelling, then with the same ending."""
    near = difflib.get_close_matches(name, names, n=count, cutoff=0.4)
    suffix = Path(name).suffix
    near += [one for one in names if suffix and one.endswith(suffix) and one not in near]
    return (near or list(names))[: count + 3]


def listing(names: Sequence[str], most: int = 8) -> str:
    """Names on one line, the rest counted."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
