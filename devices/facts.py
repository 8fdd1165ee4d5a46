"""What a device is: every field is optional, unknown is None, never a guess."""

import hashlib

import msgspec


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
    clusters: tuple[CpuCluster, ...] = ()
    cores: int | None = None
    ram_bytes: int | None = None
    python: str | None = None
    interpreters: tuple[Interpreter, ...] = ()
    serial: str | None = None
    boot_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """Same for as long as figures may be compared: what the hardware and system are, not the day."""
        make = (self.driver, self.model, self.soc, self.arch, self.os, self.cores)
        # MemTotal is what the kernel left over at boot: it differs by some pages from kernel to kernel.
        ram = None if self.ram_bytes is None else round(self.ram_bytes / 2**28)
        parts = (*make, ram, self.serial)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
