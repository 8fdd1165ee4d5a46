"""The programs of a phone: the toybox and the mksh that Debian builds, which are what Android's userland is.

They are changed in one place, the path of their loader: where a Debian has its own there is none on a phone,
so that no other program of a Debian runs there, and a bundle has to bring all it needs.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PLACES = ("usr/bin", "bin", "usr/sbin", "sbin")
LIBRARY_PLACES = ("usr/lib/*-linux-gnu", "lib/*-linux-gnu", "usr/lib", "lib")
STAND_INS = ("dd", "diff", "expr", "gzip", "stty", "tr")
"""Where toybox is built without one of these, GNU's stands in; any other is then not there."""
LOADER = "system/lib64/ld.so"
REAL = "system/libexec"
"""Where, in the phone, the programs lie that /system/bin leads to."""
OPENSSL_LIBRARIES = f"{REAL}/lib"
"""Not in /lib, where it would hide that a bundle lacks a libcrypto."""
REPLACED = {b"\0sha256sum\0": b"\0sha256Sum\0"}
"""What toybox is to call its own: its `find -exec` runs what it has itself, and not the stand-in."""

_INTERPRETER = re.compile(rb"/lib(?:64)?/(ld-linux-[\w-]+\.so\.\d)\0")
_LIBRARY = re.compile(rb"lib[\w+-]+\.so\.\d+")


@dataclass(frozen=True, kw_only=True)
class Debian:
    """A root with Debian's packages, and the words that run its programs on this machine."""

    root: Path = Path("/")
    runner: tuple[str, ...] = ()

    def find(self, name: str) -> Path | None:
        """The program `name`."""
        found = (self.root / place / name for place in PLACES)
        return next((path for path in found if path.is_file()), None)

    def toybox_commands(self) -> frozenset[str]:
        """What its toybox is built with."""
        return _commands((*self.runner, str(self.find("toybox"))))

    def library(self, name: str) -> Path | None:
        """A shared library or loader."""
        found = (path / name for place in LIBRARY_PLACES for path in self.root.glob(place))
        return next((path for path in found if path.is_file()), None)


def install(source: Debian, commands: Iterable[str], root: Path) -> None:
    """Give the phone `root` its shell, toybox, and what of `commands` there is, less what it has already."""
    folder, real = root / "system/bin", root / REAL
    real.mkdir(parents=True)
    of_toybox = source.toybox_commands()
    for name in ("toybox", "mksh"):
        _adopt(source, name, root)
    for name in commands:
        if (folder / name).exists():
            continue
        if name in of_toybox:
            (folder / name).symlink_to(f"/{REAL}/toybox")
        elif name in STAND_INS:
            _adopt(source, name, root)
            (folder / name).symlink_to(f"/{REAL}/{name}")
    (folder / "sh").symlink_to(f"/{REAL}/mksh")
    if (folder / "sha256sum").is_file() and source.find("openssl"):
        _adopt(source, "openssl", root, OPENSSL_LIBRARIES)


def _adopt(source: Debian, name: str, root: Path, libraries: str = "lib") -> None:
    """Copy a program with the loader and, to the folder `libraries`, the libraries that it names."""
    program = source.find(name)
    assert program, f"no {name} in {source.root}"
    content = program.read_bytes()
    if found := _INTERPRETER.search(content):
        loader = f"/{LOADER}".encode().ljust(len(found[0]), b"\0")
        content = content.replace(found[0], loader, 1)
        _copy(source, found[1].decode(), root / LOADER)
    if name == "toybox":
        for own, other in REPLACED.items():
            content = content.replace(own, other)
    copied = root / REAL / name
    copied.write_bytes(content)
    copied.chmod(0o755)
    _bring_libraries(source, content, root / libraries)


def _bring_libraries(source: Debian, content: bytes, folder: Path) -> None:
    for name in {found.decode() for found in _LIBRARY.findall(content)}:
        # What the C library names it loads only for what no command here does.
        if _copy(source, name, folder / name) and name != "libc.so.6":
            _bring_libraries(source, (folder / name).read_bytes(), folder)


def _copy(source: Debian, name: str, target: Path) -> bool:
    """Whether it is new there."""
    library = source.library(name)
    if library is None or target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(library, target)
    target.chmod(0o755)
    return True


@cache
def _commands(toybox: tuple[str, ...]) -> frozenset[str]:
    return frozenset(subprocess.run(toybox, check=True, capture_output=True, text=True).stdout.split())
