"""Compilers for what devices have: this machine's own, or Debian's cross compiler."""

import platform as machine
import shutil
import subprocess
from pathlib import Path

from harness.cache import file_sha256
from harness.errors import PocketbenchError, UnknownNameError
from harness.platforms import SAME_ARCH
from harness.spec import Frozen

STATIC_LIBRARIES = ("libc.a", "libgcc.a", "libgcc_eh.a", "libgomp.a", "libstdc++.a")
"""What of the system becomes a part of a static program.

Others that do are built and installed together with these: libm, libpthread and the start of a program with
libc, where libm.a is often but a text that names a file.
"""


class Abi(Frozen, frozen=True, kw_only=True):
    """A processor's binary interface, by Android's name for it.

    `arch` is its name in `uname -m`, `triplet` and `cross_package` those of the cross compiler for it.
    """

    name: str
    arch: str
    triplet: str
    cross_package: str


ABIS = {
    abi.name: abi
    for abi in (
        Abi(
            name="arm64-v8a",
            arch="aarch64",
            triplet="aarch64-linux-gnu",
            cross_package="g++-aarch64-linux-gnu",
        ),
        Abi(name="x86_64", arch="x86_64", triplet="x86_64-linux-gnu", cross_package="g++-x86-64-linux-gnu"),
    )
}


class Compiler(Frozen, frozen=True, kw_only=True):
    """A C and a C++ compiler for `abi`; `version` tells it from another that would compile otherwise."""

    abi: Abi
    c: Path
    cxx: Path
    version: str
    cross: bool


def abi_named(name: str) -> Abi:
    """The ABI that is called `name`; raises UnknownNameError with those there are."""
    if name not in ABIS:
        raise UnknownNameError("ABI", name, ABIS)
    return ABIS[name]


def abi_of(arch: str | None) -> Abi | None:
    """The ABI of programs for a processor `arch`, in the words of `uname -m`; None: there is none for it."""
    return next((abi for abi in ABIS.values() if abi.arch == arch), None)


def find_compiler(abi: Abi) -> Compiler:
    """The compiler for `abi` on this machine; raises PocketbenchError saying what to install."""
    here = machine.machine()
    cross = SAME_ARCH.get(here, here) != abi.arch
    prefix = f"{abi.triplet}-" if cross else ""
    c, cxx = (shutil.which(f"{prefix}{name}") for name in ("gcc", "g++"))
    if c is None or cxx is None:
        raise PocketbenchError(
            f"building for {abi.name} needs {prefix}g++, which this machine does not have: "
            f"apt-get install {abi.cross_package if cross else 'g++'}"
        )
    version = _first_line(Path(cxx), "--version")
    return Compiler(abi=abi, c=Path(c), cxx=Path(cxx), version=version, cross=cross)


def static_libraries(compiler: Compiler) -> dict[str, str]:
    """SHA-256 by name of the system's libraries that programs of `compiler` are linked to statically.

    One that is not installed is left out: linking says so. Raises PocketbenchError when the compiler fails.
    """
    asked = {name: Path(_first_line(compiler.cxx, f"-print-file-name={name}")) for name in STATIC_LIBRARIES}
    # Of what it does not find, a compiler says no more than the name.
    return {name: file_sha256(path) for name, path in asked.items() if path.is_absolute()}


def _first_line(cxx: Path, argument: str) -> str:
    done = subprocess.run([cxx, argument], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        raise PocketbenchError(f"{cxx} does not run: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout.splitlines()[0].strip()
