"""Isolated environments installed by the real uv: side by side, once, and told when they cannot be had."""

import os
import shutil
import subprocess
import sys

import pytest

from harness.cache import Cache
from harness.environments import Packages, environment, install, installed_versions
from harness.errors import PocketbenchError, UnsupportedError
from harness.interpreters import find_python
from harness.runtimes import RUNTIMES

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"

# Wheels of a few kB, so that the tests fetch little.
NEW, OLD = "1.17.0", "1.16.0"

MAKES = """
import sys
from pathlib import Path
from harness.cache import Cache
from harness.environments import Packages, environment

cache = Cache(Path(sys.argv[1]))
made = environment(cache, Packages(name="six", requirements=("six==1.17.0",), python=sys.argv[2]))
print(len(cache.built), made.site)
"""


def six(version, **changes):
    given = {"name": f"six@{version}", "requirements": (f"six=={version}",), "python": OWN}
    return Packages(**{**given, **changes})


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", disk], check=False, capture_output=True
    )
    if tried.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted: {tried.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def seen_by(made, code, **variables):
    done = subprocess.run(
        made.command("-c", code),
        env={**os.environ, **made.variables(), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_two_versions_live_side_by_side_and_each_sees_its_own(cache):
    old, new = environment(cache, six(OLD)), environment(cache, six(NEW))
    assert old.site != new.site
    assert installed_versions(old.site) == {"six": OLD}
    assert installed_versions(new.site) == {"six": NEW}
    shown = "import six; print(six.__version__, six.__file__)"
    assert seen_by(old, shown) == f"{OLD} {old.site}/six.py"
    assert seen_by(new, shown) == f"{NEW} {new.site}/six.py"


def test_two_versions_of_a_runtime_are_two_requirements():
    ncnn = RUNTIMES["ncnn"]
    default, other = ncnn.packages(ncnn.default_version), ncnn.packages("1.0.20260526")
    assert default != other
    assert any("1.0.20260526" in requirement for requirement in other)


def test_an_environment_sees_the_standard_library_and_its_packages_nothing_else(cache):
    made = environment(cache, six(NEW))
    paths = seen_by(made, "import sys; print('\\n'.join(sys.path))").splitlines()
    assert not [path for path in paths if "site-packages" in path]
    own = "import importlib.util as u; print(u.find_spec('six') is not None, u.find_spec('pytest'))"
    assert seen_by(made, own) == "True None"


def test_an_environment_is_installed_once(cache):
    made = environment(cache, six(NEW))
    assert len(cache.built) == 1
    assert environment(cache, six(NEW)) == made
    assert len(cache.built) == 1
    assert list(made.site.rglob("*.pyc")), "compiled beforehand, so that no launch does it"


def test_two_processes_that_want_the_same_environment_end_with_one(tmp_path):
    wanting = [
        subprocess.Popen(
            [sys.executable, "-c", MAKES, tmp_path / "cache", OWN], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    answers = [process.communicate()[0].split() for process in wanting]
    assert sorted(built for built, _ in answers) == ["0", "0", "1"]
    assert len({site for _, site in answers}) == 1
    entries = [path for path in (tmp_path / "cache" / "environments").iterdir() if path.is_dir()]
    assert len(entries) == 1
    assert installed_versions(entries[0] / "site") == {"six": NEW}


def test_no_network_and_nothing_cached_is_one_message_that_says_what_was_wanted(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(PocketbenchError) as told:
        environment(cache, six(NEW))
    assert str(told.value).startswith(
        f"six=={NEW} is not in the cache and the package index cannot be reached"
    )
    assert "UV_DEFAULT_INDEX" in str(told.value)
    assert not isinstance(told.value, UnsupportedError), "it can be had another day"
    assert not cache.has("environments", {"packages": six(NEW)})


def test_an_index_that_refuses_the_connection_is_told_as_unreachable(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9/simple")
    with pytest.raises(PocketbenchError, match="the package index cannot be reached") as told:
        environment(cache, six(NEW))
    assert not isinstance(told.value, UnsupportedError)


def test_what_is_installed_already_needs_no_network(cache, tmp_path, monkeypatch):
    made = environment(cache, six(NEW))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    assert environment(Cache(cache.root), six(NEW)) == made


@pytest.mark.parametrize("requirement", ["six==99.1", "networkx==0.0.99"])
def test_a_version_that_does_not_exist_is_an_error_and_not_a_lack_of_network(cache, requirement):
    wanted = six(NEW, name="the tool", requirements=(requirement,))
    with pytest.raises(PocketbenchError) as told:
        environment(cache, wanted)
    assert not isinstance(told.value, UnsupportedError), "its cell fails; it is not passed over"
    assert str(told.value).startswith("the tool does not exist: ")
    assert requirement in str(told.value)


def test_a_package_without_a_wheel_for_the_platform_is_unsupported_and_names_it(cache, tmp_path):
    wanted = Packages(
        name="paddlelite@2.13rc0",
        requirements=("paddlelite==2.13rc0",),
        python="3.10",
        platform="riscv64-unknown-linux",
        dependencies=False,
    )
    with pytest.raises(
        UnsupportedError, match=r"paddlelite@2\.13rc0 cannot be installed for Python 3\.10 on riscv64"
    ):
        install(wanted, tmp_path / "site")


def test_a_full_disk_is_told_with_what_was_wanted_and_what_is_free(small_disk):
    cache = Cache(small_disk / "cache")
    big = six(NEW, name="big", requirements=(f"six=={NEW}", "packaging==26.3"))
    with pytest.raises(PocketbenchError) as told:
        environment(cache, big)
    assert "no space left while installing six==" in str(told.value)
    assert f"MiB free in {cache.root}" in str(told.value)
    assert "POCKETBENCH_CACHE" in str(told.value)
    assert not isinstance(told.value, UnsupportedError)
    assert not cache.has("environments", {"packages": big})
    assert not [path for path in (cache.root / "environments").iterdir() if path.is_dir()]


def test_no_interpreter_is_told_before_anything_is_installed(cache, tmp_path, monkeypatch):
    for variable in ("PATH", "HOME", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        (tmp_path / variable).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / variable))
    find_python.cache_clear()
    try:
        with pytest.raises(UnsupportedError, match=r"no Python 3\.10 on this machine"):
            environment(cache, six(NEW, python="3.10"))
    finally:
        find_python.cache_clear()
    assert not cache.root.exists()


def test_an_environment_outlives_the_cache_of_uv(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    made = environment(cache, six(NEW))
    shutil.rmtree(tmp_path / "uv")
    assert seen_by(made, "import six; print(six.__version__)") == NEW
