"""What a device is: every field is optional, unknown is None, never a guess."""

import hashlib

import msgspec

INSTALLED_GIB = (
    *(0.0625, 0.125, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128),
    *(192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096),
)
"""Sizes that memory comes in; each is at most three quarters of the next."""


class CpuCluster(msgspec.Struct, frozen=True, kw_only=True):
    """Cores of one kind."""

    cores: tuple[int, ...]
    max_khz: int | None = None
    name: str | None = None


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A CPython on a device: where it lies there, and which wheels fit it.

    `version` is `3.11`; `soabi` is sysconfig's SOABI, `cpython-311-aarch64-linux-gnu`: it speaks of the
    programs, where `uname -m` speaks of the kernel, and a 64-bit kernel may carry a 32-bit system.
    """

    path: str
    version: str
    soabi: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Identity and make of a device."""

    driver: str
    model: str | None = None
    soc: str | None = None
    arch: str | None = None
    os: str | None = None
    os_version: str | None = None
    kernel: str | None = None
    libc: str | None = None
    bits: int | None = None
    abis: tuple[str, ...] = ()
    """Of an Android: which programs it runs, in its own words, `arm64-v8a`; the best first."""
    clusters: tuple[CpuCluster, ...] = ()
    cores: int | None = None
    ram_bytes: int | None = None
    python: str | None = None
    interpreters: tuple[Interpreter, ...] = ()
    serial: str | None = None
    machine: str | None = None
    """Stands for /etc/machine-id without telling it: see devices/linux/facts.py."""
    boot_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """Same for as long as figures may be compared: what the hardware and system are, not the day.

        Two of a make are told apart by their serial number, else by their installed system; this machine is
        itself.
        """
        make = (self.driver, self.model, self.soc, self.arch, self.os, self.cores)
        ram = None if self.ram_bytes is None else installed_gib(self.ram_bytes)
        own = self.serial or (self.machine if self.driver != "local" else None)
        parts = (*make, ram, own)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def installed_gib(ram_bytes: int) -> float:
    """GiB of memory that a machine whose kernel has `ram_bytes` (MemTotal) was built with.

    MemTotal is what firmware and kernel left over, up to a tenth less than what is installed and other from
    kernel to kernel; so it is rounded up, and what is usual lies far from where the next size begins.
    """
    return next((size for size in INSTALLED_GIB if ram_bytes <= size * 2**30), INSTALLED_GIB[-1])
