"""Writes an initramfs: a cpio archive in the `newc` form, as the kernel's buffer-format.rst has it."""

import stat
from pathlib import Path


def append(archive: Path, files: dict[str, tuple[bytes, int]]) -> None:
    """Adds an archive with these files (path: content, mode) and their directories; later ones win."""
    directories = {
        parent.as_posix() for name in files for parent in Path(name).parents if parent.as_posix() != "."
    }
    with archive.open("ab") as out:
        for number, name in enumerate(sorted(directories), start=1):
            out.write(_record(name, stat.S_IFDIR | 0o755, b"", inode=number))
        for number, (name, (content, mode)) in enumerate(files.items(), start=len(directories) + 1):
            out.write(_record(name, stat.S_IFREG | mode, content, inode=number))
        out.write(_record("TRAILER!!!", 0, b"", inode=0))


def _record(name: str, mode: int, content: bytes, *, inode: int) -> bytes:
    links, owner, time, device = 1, 0, 0, 0
    encoded = name.encode() + b"\0"
    fields = (
        *(inode, mode, owner, owner, links, time, len(content)),
        *(device, device, device, device, len(encoded), 0),
    )
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return _padded(header) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
