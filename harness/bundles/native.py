"""`binary` bundles of ours: a static runner in C++, which needs nothing on the device but a kernel.

A runtime's library is compiled from its source distribution once for each ABI and compiler; the runner, whose
source lies in harness/native, is compiled and linked to it in seconds.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from harness.bundles.apt import Apt
from harness.bundles.base import MANIFEST, SCHEMA, Bundle
from harness.bundles.binary import BinaryManifest, binary_bundle
from harness.bundles.cmake import Project, Report, build
from harness.bundles.compilers import Abi, Compiler, find_compiler, static_libraries
from harness.bundles.portable import MACHINES
from harness.bundles.sdist import source_archive, unpacked
from harness.cache import Cache, file_sha256, tree_sha256
from harness.errors import PocketbenchError, UnsupportedError
from harness.runtimes import Runtime

NATIVE = Path(__file__).parent.parent / "native"
SOURCES = {".cpp", ".h", ".txt"}
PROGRAM = "runner"

NCNN_OPTIONS = {
    "NCNN_SHARED_LIB": "OFF",
    "NCNN_PYTHON": "OFF",
    "NCNN_VULKAN": "OFF",
    "NCNN_BUILD_TOOLS": "OFF",
    "NCNN_BUILD_EXAMPLES": "OFF",
    "NCNN_BUILD_TESTS": "OFF",
    "NCNN_BUILD_BENCHMARK": "OFF",
    # As in its wheels. Everything else is at its default: all layers, kernels chosen by the processor.
    "NCNN_DISABLE_RTTI": "OFF",
    "NCNN_DISABLE_EXCEPTION": "OFF",
}

JSON_PACKAGE = "nlohmann-json3-dev"
"""JSON for Modern C++ (https://github.com/nlohmann/json): headers alone, the same for every processor."""


def has_native_runner(runtime: Runtime) -> bool:
    """Whether there is a runner in C++ for `runtime`."""
    return _source(runtime).is_dir()


def native_bundle(cache: Cache, runtime: Runtime, version: str, abi: Abi, report: Report) -> Bundle:
    """The `binary` bundle of `runtime` at `version` for `abi`, built when it is not in `cache` yet.

    Raises UnsupportedError for a runtime without a runner in C++, PocketbenchError when a compiler or a
    source is missing or the build fails.
    """
    if not has_native_runner(runtime):
        raise UnsupportedError(
            f"{runtime.name} has no runner in C++ that could be built; docs/runtimes.md says how to write a "
            "binary bundle of your own"
        )
    compiler = find_compiler(abi)
    return binary_bundle(_runner(cache, runtime, version, compiler, report) / "bundle")


def library_key(runtime: Runtime, version: str, compiler: Compiler) -> dict[str, Any]:
    """What a compiled library is the result of."""
    return {
        "runtime": runtime.name,
        "version": version,
        "abi": compiler.abi.name,
        "compiler": compiler.version,
        "options": NCNN_OPTIONS,
    }


def runner_key(runtime: Runtime, version: str, compiler: Compiler, headers: Path) -> dict[str, Any]:
    """What a linked runner is the result of, the JSON library in `headers` and the system's libraries too.

    The runtime's library is compiled without these: it stays when only they change.
    """
    source = _source(runtime)
    return {
        **library_key(runtime, version, compiler),
        "runner": tree_sha256(source, (path for path in source.iterdir() if path.suffix in SOURCES)),
        "json": tree_sha256(headers),
        "static": static_libraries(compiler),
    }


def _source(runtime: Runtime) -> Path:
    return NATIVE / f"{runtime.name}_runner"


def _runner(cache: Cache, runtime: Runtime, version: str, compiler: Compiler, report: Report) -> Path:
    headers = _json_headers(cache, compiler.abi, report)

    def compile_into(path: Path, work: Path, log: Path) -> None:
        library = _library(cache, runtime, version, compiler, report)
        project = Project(
            name=f"the runner for {compiler.abi.name}",
            source=_source(runtime),
            directory=work,
            options={"NCNN_PREFIX": library, "JSON_INCLUDE": headers},
        )
        build(cache, project, compiler, PROGRAM, log, report)
        (path / "bundle").mkdir()
        shutil.copy(work / PROGRAM, path / "bundle")
        _write_manifest(path / "bundle", runtime, version, compiler.abi)

    return _entry(cache, "native-runners", runner_key(runtime, version, compiler, headers), compile_into)


def _library(cache: Cache, runtime: Runtime, version: str, compiler: Compiler, report: Report) -> Path:
    """A directory with `include` and `lib` of the static library."""

    def compile_into(path: Path, work: Path, log: Path) -> None:
        report(f"downloading the source of {runtime.name} {version}", 0, 0)
        archive = source_archive(cache, runtime.name, version)
        source = unpacked(archive, work / "source")
        _check_whole(source, runtime, version)
        project = Project(
            name=f"{runtime.name} {version} for {compiler.abi.name}",
            source=source,
            directory=work / "build",
            # Without its version, it calls itself after the day it is built on.
            options={
                **NCNN_OPTIONS,
                "NCNN_VERSION": version.rpartition(".")[2],
                "CMAKE_INSTALL_PREFIX": path,
            },
        )
        build(cache, project, compiler, "install", log, report)

    return _entry(cache, "native-libraries", library_key(runtime, version, compiler), compile_into)


def _check_whole(source: Path, runtime: Runtime, version: str) -> None:
    if not (source / "CMakeLists.txt").is_file():
        raise UnsupportedError(
            f"the source distribution of {runtime.name} {version} holds its Python part only and cannot be "
            f"built; {runtime.default_version} can"
        )


def _entry(
    cache: Cache, kind: str, key: dict[str, Any], compile_into: Callable[[Path, Path, Path], None]
) -> Path:
    """The cache's entry; what a build that failed printed lies beside it."""
    log = cache.path(kind, key).with_suffix(".log")

    def build_and_tidy(path: Path) -> None:
        # In the cache, which removes what a build leaves behind that was ended, then or before the next one.
        work = path / "work"
        work.mkdir()
        compile_into(path, work, log)
        shutil.rmtree(work)
        log.unlink()

    return cache.entry(kind, key, build_and_tidy)


def _json_headers(cache: Cache, abi: Abi, report: Report) -> Path:
    """Directory of include files with nlohmann/json.hpp."""

    def fetch(path: Path) -> None:
        report(f"downloading {JSON_PACKAGE}", 0, 0)
        with TemporaryDirectory(prefix="pocketbench-apt-") as scratch:
            apt = Apt(
                MACHINES[abi.arch][0],
                Path(scratch, "apt"),
                purpose=f"the runner's JSON library is Debian's package {JSON_PACKAGE}",
                otherwise="",
            )
            apt.unpack([JSON_PACKAGE], Path(scratch, "root"))
            shutil.copytree(Path(scratch, "root", "usr", "include"), path / "include")

    return cache.entry("headers", {"package": JSON_PACKAGE}, fetch) / "include"


def _write_manifest(folder: Path, runtime: Runtime, version: str, abi: Abi) -> None:
    if not (folder / PROGRAM).is_file():
        raise PocketbenchError(f"the build ended without an error and without {PROGRAM}: please report this")
    manifest = BinaryManifest(
        schema=SCHEMA,
        kind="binary",
        runtime=runtime.name,
        version=version,
        platform=f"linux-{abi.arch}",
        entry=(f"{{bundle}}/{PROGRAM}",),
        files={PROGRAM: file_sha256(folder / PROGRAM)},
    )
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
