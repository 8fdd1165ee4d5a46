"""Snapshots of /proc and /sys: taking one on this machine, and finding something in one."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

Files = Mapping[str, str]


def read_files(root: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Contents of the readable files under `root` that match glob `patterns`, in natural order."""
    found: dict[str, str] = {}
    for pattern in patterns:
        for path in sorted(root.glob(pattern), key=lambda path: natural(str(path))):
            with suppress(OSError):  # sensors that are off answer EAGAIN, ENODATA or EIO
                found[path.relative_to(root).as_posix()] = path.read_text(errors="replace")
    return found


def natural(path: str) -> list[tuple[int, str]]:
    """Sort key of a path in which numbers count as numbers."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", path)]


def in_natural_order(files: Files) -> dict[str, str]:
    """The same snapshot, `cpu2` before `cpu10`."""
    return {path: files[path] for path in sorted(files, key=natural)}


def matching(files: Files, pattern: str) -> list[tuple[str, str]]:
    """First group of the paths that match, with their contents."""
    return [(found[1], text) for path, text in files.items() if (found := re.fullmatch(pattern, path))]


def text_of(files: Files, path: str) -> str | None:
    """What one file says; None where it is absent or empty."""
    return files.get(path, "").replace("\0", " ").strip() or None


def integer(text: str) -> int | None:
    """The number that `text` is, hexadecimal with 0x; None where it is none."""
    try:
        return int(text.strip(), 0)
    except ValueError:
        return None
