"""What tests of the test phone share: `pytest_plugins = ["peers.adb_peer_fixtures"]` in a test module.

Those by whom it must be taken for a phone are Google's adb, as adbutils carries it and as Debian builds it
where that is installed, adb-shell, and adbutils' own Python.
"""

import pytest

from .adbd.device import AdbDevice
from .adbd.server import DEBIAN_ADB, GOOGLE_ADB, AdbServer

ADBS = [program for program in (GOOGLE_ADB, DEBIAN_ADB) if program.exists()]


@pytest.fixture(scope="module", params=ADBS, ids=["google", "debian"][: len(ADBS)])
def peer_server(request, tmp_path_factory):
    with AdbServer(tmp_path_factory.mktemp("adb"), request.param) as server:
        yield server


@pytest.fixture(scope="module")
def shared():
    with AdbDevice() as device:
        yield device
    assert device.traffic.errors == []


@pytest.fixture
def shared_phone(shared, peer_server):
    """An Android 14 that all tests share, known to the server."""
    if peer_server.state(shared.serial) != "device":
        peer_server.connect(shared.serial)
    return shared


@pytest.fixture
def adb(peer_server, shared_phone):
    return lambda *words, **options: peer_server.run("-s", shared_phone.serial, *words, **options)


@pytest.fixture
def own(peer_server):
    """Starts a device for one test: `own(Phone("android9"))`; connected unless it asks for a key."""
    started = []

    def start(phone=None, **options):
        device = AdbDevice(phone, **options)
        device.start()
        started.append(device)
        if device.authority.is_open:
            peer_server.connect(device.serial)
        return device

    yield start
    for device in started:
        peer_server.run("disconnect", device.serial)
        device.stop()
        assert device.traffic.errors == []
