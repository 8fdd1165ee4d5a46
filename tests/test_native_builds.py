"""Building native runners: what is said on the way, and what is missing or wrong."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness.bundles import binary_bundle, compilers, sdist
from harness.bundles.cmake import Project, build
from harness.bundles.compilers import STATIC_LIBRARIES, abi_named, abi_of, find_compiler, static_libraries
from harness.bundles.native import library_key, native_bundle, runner_key
from harness.bundles.sdist import source_archive, unpacked
from harness.cache import Cache, file_sha256
from harness.cli import stages
from harness.errors import PocketbenchError, UnknownNameError, UnsupportedError
from harness.runtimes import RUNTIMES

NCNN = RUNTIMES["ncnn"]
CMAKE_LISTS = "cmake_minimum_required(VERSION 3.16)\nproject(x CXX)\nadd_executable(runner a.cpp b.cpp)\n"


def pocketbench(*arguments):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def project(compiler, tmp_path):
    """Two files to compile and one program to link."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(CMAKE_LISTS)
    (source / "a.cpp").write_text("int b(); int main() { return b(); }\n")
    (source / "b.cpp").write_text("int b() { return 0; }\n")
    return Project(name="the project", source=source, directory=tmp_path / "built", options={})


@pytest.fixture
def compiler():
    """This machine's own."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ here: tests/setup.sh installs it")
    return find_compiler(abi_named("x86_64"))


@pytest.fixture
def system_with(compiler, tmp_path, monkeypatch):
    """Makes the compiler of a system whose library of this name is another: `system_with("libc.a")`."""
    programs, libraries = tmp_path / "bin", tmp_path / "lib"
    programs.mkdir()
    libraries.mkdir()
    for program in (compiler.c, compiler.cxx):
        (programs / program.name).write_text(f'#!/bin/sh\nexec {program} -B{libraries} "$@"\n')
        (programs / program.name).chmod(0o755)

    def change(name):
        (libraries / name).write_bytes(b"!<arch>\n")
        monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
        return find_compiler(compiler.abi)

    return change


def built(project, tmp_path):
    told = []
    compiler = find_compiler(abi_named("x86_64"))
    build(Cache(), project, compiler, "runner", tmp_path / "log", lambda *given: told.append(given))
    return told


def test_a_build_says_how_far_it_is(project, tmp_path):
    told = built(project, tmp_path)
    assert told == [
        ("configuring the project", 0, 0),
        *(("compiling the project", step, 3) for step in (1, 2, 3)),
    ]
    assert subprocess.run([tmp_path / "built" / "runner"], check=False).returncode == 0


def test_the_users_compiler_flags_make_no_other_program_under_the_same_name(project, tmp_path, monkeypatch):
    monkeypatch.setenv("CXXFLAGS", "-no-such-flag")
    assert built(project, tmp_path)


def test_a_build_that_fails_is_told_with_its_first_error_and_the_whole_log(project, tmp_path):
    (project.source / "b.cpp").write_text("int b() { return none; }\n")
    with pytest.raises(PocketbenchError) as told:
        built(project, tmp_path)
    assert "the project cannot be built: " in str(told.value)
    assert "was not declared" in str(told.value)
    assert str(tmp_path / "log") in str(told.value)
    assert "was not declared" in (tmp_path / "log").read_text()


def test_a_missing_cross_compiler_is_told_with_the_package_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(compilers.machine, "machine", lambda: "x86_64")
    with pytest.raises(PocketbenchError, match=r"apt-get install g[+][+]-aarch64-linux-gnu$"):
        find_compiler(abi_named("arm64-v8a"))
    with pytest.raises(PocketbenchError, match=r"apt-get install g[+][+]$"):
        find_compiler(abi_named("x86_64"))


@pytest.mark.parametrize("library", ["libc.a", "libgomp.a", "libstdc++.a"])
def test_a_static_library_that_changes_makes_another_runner_of_the_same_ncnn(
    compiler, system_with, tmp_path, library
):
    other = system_with(library)
    assert runner_key(NCNN, "1", compiler, tmp_path) != runner_key(NCNN, "1", other, tmp_path)
    assert library_key(NCNN, "1", compiler) == library_key(NCNN, "1", other)
    changed = static_libraries(compiler).items() ^ static_libraries(other).items()
    assert {name for name, _ in changed} == {library}


def test_static_libraries_are_those_that_the_linker_takes(compiler, tmp_path):
    (tmp_path / "empty.cpp").write_text("int main() {}\n")
    command = [compiler.cxx, "-static", "-fopenmp", "-Wl,--trace", "empty.cpp", "-o", "empty"]
    taken = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    paths = {Path(line) for line in taken.splitlines()}
    found = {path.name: file_sha256(path) for path in paths if path.name in STATIC_LIBRARIES}
    assert static_libraries(compiler) == found
    assert found.keys() == set(STATIC_LIBRARIES)


def test_other_json_headers_make_another_runner(compiler, tmp_path):
    before = runner_key(NCNN, "1", compiler, tmp_path)
    (tmp_path / "json.hpp").touch()
    assert runner_key(NCNN, "1", compiler, tmp_path) != before


def test_an_unknown_abi_is_told_with_those_there_are():
    with pytest.raises(UnknownNameError, match=r"unknown ABI 'armeabi-v7a'\..*Known: arm64-v8a, x86_64\."):
        abi_named("armeabi-v7a")
    assert abi_of("aarch64") == abi_named("arm64-v8a")
    assert abi_of("riscv64") is None
    assert abi_of(None) is None


def test_a_source_is_downloaded_without_running_anything_of_it(tmp_path, monkeypatch):
    marker = tmp_path / "it ran"
    source = tmp_path / "loud-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(marker)!r}, 'w')\n")
    backend = "[build-system]\nrequires = []\nbuild-backend = 'setuptools.build_meta'\n"
    (source / "pyproject.toml").write_text(backend)
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: loud\nVersion: 1.0\n")
    with tarfile.open(tmp_path / "loud-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "loud-1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    kept = source_archive(Cache(tmp_path / "cache"), "loud", "1.0")
    assert kept.read_bytes() == (tmp_path / "loud-1.0.tar.gz").read_bytes()
    assert (unpacked(kept, tmp_path / "tree") / "setup.py").is_file()
    assert not marker.exists()


def test_a_source_is_downloaded_once_and_is_what_is_pinned(tmp_path, monkeypatch):
    archive = source_archive(Cache(tmp_path), "ncnn", NCNN.default_version)
    assert (unpacked(archive, tmp_path / "tree") / "src" / "net.cpp").is_file()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert source_archive(Cache(tmp_path), "ncnn", NCNN.default_version) == archive


def test_a_source_that_is_another_one_than_is_pinned_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setitem(sdist.SHA256, ("ncnn", NCNN.default_version), "0" * 64)
    cache = Cache(tmp_path)
    with pytest.raises(PocketbenchError, match=r"its sha256 is ad8cdd63.*, expected 0000"):
        source_archive(cache, "ncnn", NCNN.default_version)
    assert cache.built == []


def test_a_version_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(PocketbenchError, match=r"there is no source of ncnn==1\.0\.1 to build from"):
        source_archive(Cache(tmp_path), "ncnn", "1.0.1")


def test_an_index_that_cannot_be_reached_is_told_as_such(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    # uv, which fetches pip itself, has an index of its own and is not given that one.
    monkeypatch.setenv("UV_INDEX", tmp_path.as_uri())
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(PocketbenchError, match="the package index cannot be reached"):
        source_archive(Cache(tmp_path), "ncnn", "1.0.20260526")


def test_a_release_whose_source_is_not_whole_is_told(tmp_path):
    with pytest.raises(UnsupportedError, match=r"of ncnn 1\.0\.20241226 holds its Python part only"):
        native_bundle(Cache(tmp_path), NCNN, "1.0.20241226", abi_named("x86_64"), lambda *_: None)


def test_a_runtime_without_a_native_runner_is_told_where_it_is_written_about():
    done = pocketbench("bundles", "build", "mnn", "--abi", "arm64-v8a", "--kind", "binary")
    assert done.returncode == 1
    assert done.stdout.startswith("mnn@3.6.1  unsupported: mnn has no runner in C++")
    assert "docs/runtimes.md" in done.stdout


def test_the_command_line_builds_a_native_runner_and_copies_it_where_it_is_told(tmp_path):
    out = tmp_path / "my bundles" / "ncnn"
    for _ in range(2):
        done = pocketbench("bundles", "build", "ncnn", "--abi", "arm64-v8a", "--kind", "binary", "--out", out)
        assert done.stdout == f"ncnn@{NCNN.default_version}  binary linux-aarch64  {out}\n", done.stderr
    assert binary_bundle(out).info.platform == "linux-aarch64"
    assert [path.name for path in out.parent.iterdir()] == ["ncnn"]
    checked = pocketbench("bundles", "check", out)
    assert checked.stdout == f"{out}  ncnn@{NCNN.default_version} for linux-aarch64  ok\n"


def test_a_portable_bundle_is_built_for_a_device_that_is_not_there():
    done = pocketbench("bundles", "build", "ncnn", "--abi", "arm64-v8a", "--kind", "portable")
    assert done.stdout.startswith(f"ncnn@{NCNN.default_version}  portable linux-aarch64 3."), done.stderr


def test_progress_in_a_log_is_a_line_for_each_stage_and_one_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(stages, "PLAIN_EVERY_S", -1.0)
    with stages.Stages() as told:
        told.report("configuring", 0, 0)
        told.report("compiling", 1, 700)
        told.report("compiling", 700, 700)
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["configuring", "compiling 1/700", "compiling 700/700, about 0 s left"]
    assert printed.out == "", "which is for what was made"
