"""Both ways to test phones as fixtures: `pytest_plugins = ["peers.adb_fixtures"]` in a test module."""

import pytest

from .adb_devices import TRANSPORTS, device_on
from .adbd.device import AdbDevice
from .adbd.server import GOOGLE_ADB, AdbServer


@pytest.fixture(params=TRANSPORTS)
def adb_transport(request):
    """Each test once through an adb server and once without."""
    return request.param


@pytest.fixture(scope="module")
def adb_server(tmp_path_factory):
    """A server of the module's own; its key is also what is used without it."""
    with AdbServer(tmp_path_factory.mktemp("adb"), GOOGLE_ADB) as started:
        yield started


@pytest.fixture
def phone():
    """An Android 14 of the test's own."""
    with AdbDevice() as started:
        yield started


@pytest.fixture
def adb_device(adb_transport, adb_server, phone):
    """The phone as a device, open."""
    with device_on(adb_transport, adb_server, phone) as opened:
        yield opened
