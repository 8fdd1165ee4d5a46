"""What only an adb server can be asked, and answers."""

import pytest
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer

from devices import DeviceError, TransientDeviceError
from devices.adb.server import AdbServerConnection

pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")


@pytest.fixture
def server(tmp_path):
    with AdbServer(tmp_path / "adb", GOOGLE_ADB) as started:
        yield started


@pytest.mark.parametrize(
    ("serial", "told"),
    [(None, "no phone at the adb server"), ("nope", "no device 'nope' at the adb server")],
)
def test_no_phone_and_an_unknown_one_are_told_apart(server, serial, told):
    with pytest.raises(TransientDeviceError, match=told):
        AdbServerConnection("pixel", serial, server_port=server.port).connect()


def test_a_server_on_another_machine_that_is_down_is_not_started_here():
    connection = AdbServerConnection("pixel", None, server_host="127.0.0.2", server_port=1)
    with pytest.raises(TransientDeviceError, match=r"no adb server at 127\.0\.0\.2:1: start it there"):
        connection.connect()


def test_two_phones_and_no_serial_is_an_error_that_lists_them(server):
    with AdbDevice() as one, AdbDevice() as other:
        for phone in (one, other):
            server.connect(phone.serial)
        with pytest.raises(DeviceError, match="2 phones are there") as caught:
            AdbServerConnection("pixel", None, server_port=server.port).connect()
    assert one.serial in str(caught.value)
    assert other.serial in str(caught.value)


def test_the_only_phone_needs_no_serial(server):
    with AdbDevice() as phone:
        server.connect(phone.serial)
        connection = AdbServerConnection("pixel", None, server_port=server.port)
        connection.connect()
        assert connection.address == f"{phone.serial} (adb server)"
        assert connection.execute("echo hello", timeout_s=10).stdout == b"hello\n"
        connection.close()


def test_a_server_that_ends_is_a_lost_connection(server):
    with AdbDevice() as phone:
        connection = AdbServerConnection("pixel", phone.serial, server_port=server.port)
        connection.connect()
        held, _ = connection.hold("echo on; cat", until=b"on", timeout_s=10)
        server.stop()
        held.close()
        server.start()
        with pytest.raises(TransientDeviceError, match=r"\(adb server\) is lost .*not found"):
            connection.execute("true", timeout_s=10)
        connection.connect()
        assert connection.execute("exit 3", timeout_s=10).exit_code == 3
        connection.close()
