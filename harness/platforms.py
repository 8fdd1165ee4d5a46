"""What a bundle must fit: this machine, or a device with its processor, C library and interpreters."""

import platform as machine
import re
from typing import Final

from devices.facts import Facts, Interpreter
from harness.errors import UnsupportedError
from harness.spec import Frozen

OLDEST_PYTHON = (3, 8)
"""The runner needs at least this one."""

GLIBC_MINORS = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""glibc 2.X that uv has a `manylinux_2_X` platform for."""

OLDEST_MUSL = (1, 2)
"""musl that uv's `-unknown-linux-musl` platforms mean (PEP 656, musllinux_1_2)."""

SAME_ARCH = {"arm64": "aarch64", "amd64": "x86_64", "armv8l": "armv7l"}
"""Other names for an architecture -> the name used here, which is that of `uname -m`."""

ABIS = {
    "arm64-v8a": "aarch64",
    "armeabi-v7a": "armv7l",
    "x86_64": "x86_64",
    "x86": "i686",
    "riscv64": "riscv64",
}
"""Android's name for what programs are built for -> the architecture."""

_SOABI = re.compile(r"cpython-3\d+-(?P<arch>.+)-linux-(?P<libc>gnu|musl)(?:eabi(?P<float>hf)?)?")


class Platform(Frozen, frozen=True, kw_only=True):
    """What bundles are built for.

    `arch` is the kernel's, in the words of `uname -m`; `libc`, `bits`, `abis` are its programs', as in Facts.
    """

    host: bool = False
    arch: str | None = None
    libc: str | None = None
    bits: int | None = None
    abis: tuple[str, ...] = ()
    interpreters: tuple[Interpreter, ...] = ()

    @property
    def processor(self) -> str | None:
        """`arch`, of this machine as well."""
        return _arch(machine.machine()) if self.host else self.arch

    @property
    def runs_32_bit_programs(self) -> bool:
        """Whether its programs are 32-bit ones, or some are; under a 64-bit kernel, too."""
        by_abi = any(abi in {"armeabi-v7a", "x86"} for abi in self.abis)
        return self.bits == 32 or by_abi or any("-arm-linux-" in found.soabi for found in self.interpreters)

    @property
    def label(self) -> str:
        """How a person calls it: `this machine`, `aarch64 with glibc 2.36`, `a phone of x86 (i686)`."""
        if self.host:
            return "this machine"
        arch = self.arch or "an unknown processor"
        if self.abis:
            return f"a phone of {', '.join(self.abis)} ({arch})"
        return f"{arch} with {self.libc}" if self.libc else arch

    def preferring(self, version: str) -> tuple[Interpreter, ...]:
        """The interpreters that may run the runner: `version` first, then the newest."""
        usable = [i for i in self.interpreters if _numbers(i.version) >= OLDEST_PYTHON]
        ordered = sorted(usable, key=lambda i: _numbers(i.version), reverse=True)
        return tuple(sorted(ordered, key=lambda i: i.version != version))


HOST: Final = Platform(host=True)
"""This machine, with the Pythons that lie on it (harness/interpreters.py)."""


def platform_of(facts: Facts) -> Platform:
    """What a bundle for the device of `facts` must fit."""
    if facts.driver == "local":
        return HOST
    return Platform(
        arch=_arch(facts.arch),
        libc=facts.libc,
        bits=facts.bits,
        abis=facts.abis,
        interpreters=facts.interpreters,
    )


def wheel_platform(platform: Platform, interpreter: Interpreter) -> str:
    """Which wheels fit `interpreter`, in the words of uv's `--python-platform`.

    SOABI decides, not `uname -m`: a 64-bit kernel may carry a 32-bit system. For 32-bit ARM, which uv does
    not know, the answer has the same form: `armv7l-manylinux_2_36`, for harness/bundles/pip.py. Raises
    UnsupportedError saying why none fit.
    """
    named = _SOABI.fullmatch(interpreter.soabi)
    if named is None:
        raise UnsupportedError(
            f"{_called(interpreter)} is no ordinary CPython for Linux ({interpreter.soabi})"
        )
    family, version = _libc(platform.libc)
    # Pythons before 3.10 say `gnu` on musl as well.
    if named["libc"] == "musl" or family == "musl":
        return _musl(named["arch"], version if family == "musl" else None, interpreter)
    if family is not None and family != "glibc":
        raise UnsupportedError(f"no wheels are made for {platform.libc}")
    # Every glibc that has such a Python is at least as new as the oldest wheels ask for.
    known = version or (2, GLIBC_MINORS[0])
    if named["arch"] in {"aarch64", "x86_64"}:
        return glibc_platform(named["arch"], known)
    if named["arch"] == "arm" and named["float"]:
        # The first Raspberry Pis lack instructions that wheels for armv7l have.
        word = "armv6l" if platform.arch == "armv6l" else "armv7l"
        return f"{word}-manylinux_{known[0]}_{known[1]}"
    raise UnsupportedError(f"{_called(interpreter)} is built for {named['arch']}: no wheels are made for it")


def glibc_platform(arch: str, version: tuple[int, ...]) -> str:
    """uv's platform for `arch` and the newest glibc it knows that is not newer than `version`."""
    fitting = [minor for minor in GLIBC_MINORS if (2, minor) <= version]
    if not fitting:
        raise UnsupportedError(
            f"glibc {'.'.join(map(str, version))} is older than any wheel's (2.{GLIBC_MINORS[0]})"
        )
    return f"{arch}-manylinux_2_{fitting[-1]}"


def _musl(arch: str, version: tuple[int, ...] | None, interpreter: Interpreter) -> str:
    if arch not in {"aarch64", "x86_64"}:
        raise UnsupportedError(
            f"{_called(interpreter)} is built for {arch} with musl: no wheels are made for it"
        )
    if version is None or version < OLDEST_MUSL:
        shown = ".".join(map(str, version)) if version else "of unknown version"
        raise UnsupportedError(f"{_called(interpreter)} uses musl {shown}; wheels need musl 1.2")
    return f"{arch}-unknown-linux-musl"


def _libc(text: str | None) -> tuple[str | None, tuple[int, ...] | None]:
    """Family and version (two numbers) of `glibc 2.36`."""
    if text is None:
        return None, None
    family, _, version = text.partition(" ")
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return family, (int(numbers[1]), int(numbers[2])) if numbers else None


def _arch(machine: str | None) -> str | None:
    return SAME_ARCH.get(machine, machine) if machine else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _called(interpreter: Interpreter) -> str:
    return f"Python {interpreter.version} ({interpreter.path})"
