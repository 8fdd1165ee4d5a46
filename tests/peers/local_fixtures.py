"""What tests of the local driver share: `pytest_plugins = ["peers.local_fixtures"]` in a test module."""

import pytest

from devices.local import LocalDevice


@pytest.fixture
def private_directories(tmp_path, monkeypatch):
    """Locks and cache of this test alone."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("POCKETBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def local_device(private_directories, tmp_path):
    with LocalDevice("bench", str(tmp_path / "a workdir with 'quotes\" and $HOME")) as opened:
        yield opened
