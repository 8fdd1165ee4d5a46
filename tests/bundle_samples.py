"""Boards as platforms, the bundles they get, and what is in one."""

from devices.facts import Interpreter
from harness.bundles import bundle_for, bytecode
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.interpreters import find_python
from harness.platforms import Platform
from harness.runtimes import RUNTIMES

AARCH64, ARM = 183, 40
"""Machines in the header of a program (elf.h, EM_AARCH64 and EM_ARM)."""

NCNN, ONNXRUNTIME, PADDLELITE = (RUNTIMES[name] for name in ("ncnn", "onnxruntime", "paddlelite"))


def interpreter(version, triplet="aarch64-linux-gnu"):
    digits = version.replace(".", "")
    return Interpreter(
        path=f"/opt/py {digits}/bin/python", version=version, soabi=f"cpython-{digits}-{triplet}"
    )


def board(*interpreters, arch="aarch64", libc="glibc 2.36"):
    return Platform(arch=arch, libc=libc, interpreters=interpreters)


def made_for(runtime, platform, cache=None, supplied=()):
    return bundle_for(cache or Cache(), runtime, runtime.default_version, platform, supplied)


def machines(folder):
    """Which machines the libraries below `folder` are for."""
    headers = [path.read_bytes()[:20] for path in folder.rglob("*") if path.is_file() and ".so" in path.name]
    return {int.from_bytes(header[18:20], "little") for header in headers if header[:4] == b"\x7fELF"}


def without_python(monkeypatch, version):
    """A machine that has no CPython of this version to compile with."""

    def find(wanted):
        if wanted == version:
            raise UnsupportedError(f"no Python {version} on this machine")
        return find_python(wanted)

    monkeypatch.setattr(bytecode, "find_python", find)
