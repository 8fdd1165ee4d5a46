"""The static ncnn runner as fixtures: `pytest_plugins = ["peers.native_fixtures"]` in a test module."""

import pytest

from devices.local import LocalDevice

from .native_runners import built, one_kind_of_core


@pytest.fixture(scope="module")
def native():
    """The bundle for this machine."""
    with one_kind_of_core():
        return built("x86_64")


@pytest.fixture(scope="module")
def on_arm():
    """The bundle for phones."""
    return built("arm64-v8a")


@pytest.fixture
def here(tmp_path):
    """This machine, where a name needs quotes."""
    with LocalDevice("bench", str(tmp_path / "it's a place"), exclusive=False) as opened:
        yield opened
