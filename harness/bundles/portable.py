"""`portable` bundles: a Python and a C library inside, for a device that has no usable ones.

Both are Debian's, started through the bundle's own loader, so that nothing of the device's system is used
but its kernel.
"""

import platform as machine
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from harness.bundles.apt import Apt
from harness.bundles.base import SCHEMA, Bundle, read_bundle, write_manifest
from harness.bundles.bytecode import NO_BYTECODE, can_compile, compile_packages
from harness.bundles.wheel import install_packages, packages_of, shortened
from harness.cache import Cache
from harness.environments import ISOLATED, NoWheelError, installed_versions
from harness.errors import PocketbenchError, UnsupportedError
from harness.package_index import index_settings
from harness.platforms import Platform, glibc_platform
from harness.runtimes import Runtime
from harness.spec import BundleInfo, Frozen

LAYOUT = 1
"""Raised when what is taken from the packages changes."""

MACHINES = {
    "aarch64": ("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
    "x86_64": ("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
}
"""Architecture -> Debian's word for it, the directory of its libraries, its loader."""

LIBRARIES = ("libc6", "libstdc++6", "libgcc-s1", "libgomp1")
OF_PYTHON = re.compile(r"(zlib1g|libexpat|libffi|libbz2|liblzma|libssl)")
"""Libraries that the standard library's extension modules need, as far as they are kept."""

DROPPED_LIBRARIES = re.compile(r"lib(BrokenLocale|SegFault|anl|c_malloc_debug|nsl|nss_.*|ssl|thread_db)\.so")
DROPPED_PACKAGES = (
    "__pycache__",
    "_pyrepl",
    "config-*",
    "distutils",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "sqlite3",
    "test",
    "tests",
    "tkinter",
    "turtledemo",
    "sitecustomize.py",
    "EXTERNALLY-MANAGED",
    "LICENSE.txt",
    # Extension modules that nothing here uses, and their libraries.
    *(
        f"{name}.*.so"
        for name in ("_crypt", "_curses*", "_dbm", "_gdbm", "_sqlite3", "_ssl", "_test*", "_tkinter")
    ),
    *(f"{name}.*.so" for name in ("_ctypes_test", "_uuid", "_xx*", "nis", "ossaudiodev", "readline", "xx*")),
)


class _Base(Frozen, frozen=True, kw_only=True):
    """What the bundles of one architecture share: base.json beside `bin` and `lib`."""

    python: str
    glibc: tuple[int, int]
    packages: dict[str, str]
    compiled: bool = True


def portable_bundle(cache: Cache, runtime: Runtime, version: str, platform: Platform) -> Bundle:
    """The `portable` bundle of `runtime` at `version` for a device of `platform`'s architecture.

    Raises UnsupportedError when there is none for it: no such processor, no apt here, no wheel.
    """
    arch = platform.arch or "unknown"
    if arch not in MACHINES:
        raise UnsupportedError(f"a Python can be brought along for {' and '.join(MACHINES)} only")
    base_path, base = _base(cache, arch)
    packages = packages_of(runtime, version, base.python, glibc_platform(arch, base.glibc))
    key = {"kind": "portable", "packages": packages, "base": base_path.name, "schema": SCHEMA}
    compiled = base.compiled and (cache.path("bundles", key).is_dir() or can_compile(base.python))
    if not compiled:
        key["compiled"] = False
    loader = MACHINES[arch][2]

    def build(path: Path) -> None:
        install_packages(packages, path / "site")
        if compiled:
            compile_packages(path / "site", base.python)
        for part in ("bin", "lib"):
            shutil.copytree(base_path / part, path / part)
        info = BundleInfo(
            key=cache.path("bundles", key).name,
            kind="portable",
            runtime=runtime.name,
            version=version,
            platform=f"linux-{arch}",
            python=base.python,
            packages={**base.packages, **installed_versions(path / "site")},
            compiled=compiled,
        )
        entry = (
            f"{{bundle}}/lib/{loader}",
            "--library-path",
            "{bundle}/lib",
            f"{{bundle}}/bin/python{base.python}",
            *ISOLATED,
            "-m",
            "runner",
        )
        write_manifest(
            path,
            info,
            entry,
            environment={"PYTHONHOME": "{bundle}", **NO_BYTECODE},
            parts=("bin", "lib", "site"),
        )

    try:
        made = cache.entry("bundles", key, build, refusal=NoWheelError, given=index_settings())
    except UnsupportedError as error:
        raise UnsupportedError(f"Python {base.python} (brought along): {shortened(error)}") from error
    return read_bundle(made)


def _base(cache: Cache, arch: str) -> tuple[Path, _Base]:
    """The cache's entry with Python and C library for `arch`, of this machine's distribution."""
    key = {"architecture": arch, "distribution": _distribution(), "layout": LAYOUT}

    def build(path: Path) -> None:
        architecture, triplet, loader = MACHINES[arch]
        with TemporaryDirectory(prefix="pocketbench-apt-") as scratch:
            root = Path(scratch, "root")
            apt = Apt(architecture, Path(scratch, "apt"))
            python = _python_of(apt)
            wanted = _wanted(apt, python)
            apt.unpack(wanted, root)
            _take(root, path, python, triplet, loader)
            versions = {name: apt.show(name)["Version"] for name in wanted}
        compiled = can_compile(python)
        if compiled:
            compile_packages(path / "lib" / f"python{python}", python)
        glibc = _two_numbers(versions["libc6"])
        base = _Base(python=python, glibc=glibc, packages=versions, compiled=compiled)
        (path / "base.json").write_bytes(msgspec.json.encode(base))

    path = cache.entry("portable", key, build)
    base = _read_base(path)
    if not base.compiled and can_compile(base.python):
        # This machine got its Python afterwards.
        path = cache.entry("portable", {**key, "compiled": base.python}, build)
        base = _read_base(path)
    return path, base


def _read_base(path: Path) -> _Base:
    return msgspec.json.decode((path / "base.json").read_bytes(), type=_Base)


def _python_of(apt: Apt) -> str:
    """The distribution's Python, `3.11`."""
    for name in apt.dependencies("python3-minimal"):
        if found := re.fullmatch(r"python(3\.\d+)-minimal", name):
            return found[1]
    raise PocketbenchError("this machine's apt sources do not say which Python python3-minimal is")


def _wanted(apt: Apt, python: str) -> list[str]:
    own = [f"python{python}-minimal", f"libpython{python}-minimal", f"libpython{python}-stdlib"]
    needed = {name for package in own for name in apt.dependencies(package) if OF_PYTHON.match(name)}
    return [*LIBRARIES, *own, *sorted(needed)]


def _take(root: Path, target: Path, python: str, triplet: str, loader: str) -> None:
    """Copy what is needed out of the unpacked packages, links replaced by what they mean."""
    lib, binaries = target / "lib", target / "bin"
    binaries.mkdir()
    shutil.copytree(
        root / "usr" / "lib" / f"python{python}",
        lib / f"python{python}",
        ignore=shutil.ignore_patterns(*DROPPED_PACKAGES),
        ignore_dangling_symlinks=True,
    )
    shutil.copy(root / "usr" / "bin" / f"python{python}", binaries)
    for folder in (root / "lib" / triplet, root / "usr" / "lib" / triplet):
        for library in sorted(folder.glob("*.so.*")) if folder.is_dir() else ():
            # libz.so.1 and libbz2.so.1.0 are what programs ask for, libz.so.1.2.13 is where the link leads.
            if re.search(r"\.so\.\d+(\.0)?$", library.name) and not DROPPED_LIBRARIES.match(library.name):
                shutil.copy(library, lib / library.name)
    if not (lib / loader).is_file():
        raise PocketbenchError(f"Debian's libc6 came without {loader}: its layout is new, please report this")


def _two_numbers(version: str) -> tuple[int, int]:
    """`2.36-9+deb12u14` -> (2, 36)."""
    found = re.match(r"(?:\d+:)?(\d+)\.(\d+)", version)
    if found is None:
        raise PocketbenchError(f"the C library's package has a version that cannot be read: {version}")
    return int(found[1]), int(found[2])


def _distribution() -> str:
    try:
        said = machine.freedesktop_os_release()
    except OSError:
        return "unknown"
    return f"{said.get('ID', 'unknown')} {said.get('VERSION_ID', '')}".strip()
