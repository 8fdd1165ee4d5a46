"""A Python carried along for another processor: what it is made of, and without what it cannot be had."""

import shutil
import subprocess

import pytest
from bundle_samples import (
    AARCH64,
    NCNN,
    board,
    machines,
    made_for,
    without_python,
)

from harness.bundles import portable_bundle
from harness.bundles.apt import Apt
from harness.cache import Cache
from harness.errors import PocketbenchError, UnsupportedError

QEMU = "qemu-aarch64-static"


@pytest.fixture(scope="module")
def carried():
    missing = [tool for tool in ("apt-get", "dpkg-deb", QEMU) if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here")
    return portable_bundle(Cache(), NCNN, NCNN.default_version, board())


def test_a_carried_python_that_could_not_be_compiled_is_another_one_and_says_so(
    carried, tmp_path, monkeypatch
):
    shared = Cache().root / "portable"
    (tmp_path / "portable").mkdir()
    for entry in shared.iterdir():
        if entry.is_dir():
            shutil.copytree(entry, tmp_path / "portable" / entry.name)
    cache = Cache(tmp_path)
    assert carried.info.compiled
    with monkeypatch.context() as patched:
        without_python(patched, carried.info.python)
        plain = portable_bundle(cache, NCNN, NCNN.default_version, board())
    assert not plain.info.compiled
    assert plain.info.key != carried.info.key


def test_a_carried_python_runs_on_nothing_but_the_bundle(carried):
    assert machines(carried.path / "site") == machines(carried.path / "lib") == {AARCH64}
    command, path = carried.command(str(carried.path)), carried.path
    code = "import ncnn, numpy as n, sys; print(n.arange(3.0).sum(), ncnn.__version__, sys.prefix)"
    done = subprocess.run(
        [QEMU, *command[:-2], "-c", code],
        # No more than this: no system for ARM is installed here.
        env={"PYTHONPATH": str(path / "site"), **carried.variables(str(path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["3.0", NCNN.default_version, str(path)], done.stderr


def test_a_carried_python_is_small_and_says_what_it_is_made_of(carried):
    assert {"libc6", "libstdc++6", "libgomp1", "zlib1g", "numpy", "ncnn"} <= carried.info.packages.keys()
    own = [*(carried.path / "bin").rglob("*"), *(carried.path / "lib").rglob("*")]
    assert sum(path.stat().st_size for path in own if path.is_file()) < 60 * 2**20
    assert not [path for path in own if path.is_symlink()], "links do not survive every transfer"
    names = {path.name for path in own}
    assert not names & {"test", "idlelib", "ensurepip", "sitecustomize.py", "libssl.so.3"}


def test_without_apt_a_python_cannot_be_carried_and_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UnsupportedError, match="this machine has no apt-get and no apt-cache and no dpkg-deb"
    ):
        made_for(NCNN, board(), Cache(tmp_path / "cache"))


def test_a_package_that_the_sources_do_not_have_is_told_by_name(tmp_path):
    apt = Apt("arm64", tmp_path / "apt")
    with pytest.raises(UnsupportedError, match="no package no-such-package for arm64"):
        apt.show("no-such-package")


def test_sources_that_cannot_be_reached_are_told_as_such(tmp_path, monkeypatch):
    (tmp_path / "sources.list").write_text("deb [trusted=yes] http://127.0.0.1:9/debian any main\n")
    settings = {"Dir::Etc::sourcelist": tmp_path / "sources.list", "Dir::Etc::sourceparts": "/dev/null"}
    lines = [*(f'{name} "{value}";' for name, value in settings.items()), 'Acquire::http::Proxy "DIRECT";']
    (tmp_path / "apt.conf").write_text("\n".join(lines))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    with pytest.raises(PocketbenchError, match="cannot reach this machine's package sources") as told:
        Apt("arm64", tmp_path / "apt").show("libc6")
    assert not isinstance(told.value, UnsupportedError), "it can be had another day"
