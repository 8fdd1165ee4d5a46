"""An adb server that is slow, silent or none at all: what is told does not hang on who waits longer."""

import socket
import threading
from contextlib import contextmanager

import pytest
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer
from peers.answering import answering
from peers.proxy import Proxy

from devices import DeviceError, TransientDeviceError
from devices.adb import server as adb_server
from devices.adb import smart_socket
from devices.adb.choice import AdbChosenConnection
from devices.adb.server import AdbServerConnection

needs_a_phone = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with AdbServer(tmp_path_factory.mktemp("adb"), GOOGLE_ADB) as started:
        yield started


@pytest.fixture
def slow_server(server):
    """The server behind what can hold it up."""
    with Proxy(server.host, server.port) as proxy:
        yield proxy


@pytest.fixture
def impatience(monkeypatch):
    """We wait for two seconds where a server may wait for ten."""
    monkeypatch.setattr(adb_server, "ANSWER_TIMEOUT_S", 2.0)


def saying(answer):
    """A port that gives everybody who asks this answer."""

    def reply(client):
        with client:
            if client.recv(1000):
                client.sendall(answer)

    return answering(reply)


@contextmanager
def black_hole():
    """An address at which connecting takes for ever: whom the queue has no room for is not even refused."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@needs_a_phone
def test_a_server_that_answers_late_is_there(slow_server):
    slow_server.stall()
    late = threading.Timer(1.5, slow_server.resume)
    late.start()
    with AdbDevice() as phone:
        connection = AdbChosenConnection("pixel", phone.serial, server_port=slow_server.port)
        connection.connect()
        assert connection.address == f"{phone.serial} (adb server)"
        connection.close()
    late.join()


def test_only_where_nobody_listens_is_a_server_absent(slow_server):
    slow_server.stall()
    place = (slow_server.host, slow_server.port)
    assert not smart_socket.is_absent(place)
    slow_server.refuse()
    assert smart_socket.is_absent(place)
    with black_hole() as nowhere:
        assert not smart_socket.is_absent(("127.0.0.1", int(nowhere.rpartition(":")[2])))


def test_a_server_that_stays_silent_is_told_and_not_gone_around(slow_server, impatience):
    slow_server.stall()
    connection = AdbChosenConnection("pixel", "127.0.0.1:1", server_port=slow_server.port)
    told = rf"adb server at 127.0.0.1:{slow_server.port} does not answer \(timed out\): `adb kill-server` and"
    with pytest.raises(TransientDeviceError, match=told):
        connection.connect()


@needs_a_phone
def test_a_silent_phone_is_offline_also_while_the_server_still_waits_for_it(server, impatience):
    with AdbDevice() as phone:
        phone.faults.offline = True
        with pytest.raises(TransientDeviceError, match="it is offline: pull the cable"):
            AdbServerConnection("pixel", phone.serial, server_port=server.port).connect()


def test_an_address_that_never_answers_cannot_be_reached(server, impatience):
    told = r"127.0.0.1:\d+ cannot be reached \(no answer within 2 s\): is it on and in this network\?"
    with black_hole() as serial, pytest.raises(TransientDeviceError, match=told):
        AdbServerConnection("pixel", serial, server_port=server.port).connect()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"OKAYbyte"])
def test_what_listens_and_is_no_adb_server_is_told_so(answer):
    told = r"is no adb server .*correct `server_port`"
    with saying(answer) as port, pytest.raises(DeviceError, match=told):
        AdbServerConnection("pixel", None, server_port=port).connect()


def test_a_phone_that_this_user_may_not_talk_to_is_told_with_what_to_install():
    # As AOSP's diagnose_usb.cpp words it; no USB device can be made here.
    listed = b"0A1B2C3D\tno permissions (missing udev rules? user is in the plugdev group); see [http://x]\n"
    answer = b"OKAY%04x%s" % (len(listed), listed)
    told = r"0A1B2C3D: .*install Android's udev rules"
    with saying(answer) as port, pytest.raises(DeviceError, match=told):
        AdbServerConnection("pixel", "0A1B2C3D", server_port=port).connect()
