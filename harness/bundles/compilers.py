"""Compilers for what devices have: this machine's own, or Debian's cross compiler."""

import platform as machine
import shutil
import subprocess
from pathlib import Path

from harness.errors import PocketbenchError, UnknownNameError
from harness.platforms import SAME_ARCH
from harness.spec import Frozen


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
    return Compiler(abi=abi, c=Path(c), cxx=Path(cxx), version=_version(cxx), cross=cross)


def _version(cxx: str) -> str:
    done = subprocess.run([cxx, "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        raise PocketbenchError(f"{cxx} does not run: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout.splitlines()[0].strip()
