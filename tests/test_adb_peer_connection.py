"""The test phone lets in whom it knows, and is listed as a phone: Google's adb and adb-shell judge."""

import socket
import subprocess
from pathlib import Path

import pytest
from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_pythonrsa import PythonRSASigner
from adb_shell.exceptions import DeviceAuthError, TcpTimeoutException
from peers.adb_clients import MIB, adb_shell_on, needs_a_phone, wait_until
from peers.adbd.auth import Authority
from peers.adbd.device import AdbDevice
from peers.adbd.wire import HEADER, VERSION

pytest_plugins = ["peers.adb_peer_fixtures"]

pytestmark = needs_a_phone


def test_adb_lists_it_as_a_phone(peer_server, shared_phone):
    lines = peer_server.run("devices", "-l").stdout.decode().splitlines()
    line = next(line for line in lines if line.startswith(shared_phone.serial))
    assert " device product:panther model:Pixel_7 device:panther" in line


def test_adb_does_not_get_in_before_somebody_allows_its_key(peer_server, own):
    phone = own(authority=Authority())
    said = peer_server.run("connect", phone.serial).stdout.decode()
    assert said == f"failed to authenticate to {phone.serial}\n"
    assert peer_server.state(phone.serial) == "unauthorized"
    refused = peer_server.run("-s", phone.serial, "shell", "true")
    assert refused.returncode == 1
    assert b"device unauthorized" in refused.stderr
    assert peer_server.public_key in phone.authority.offered

    phone.authority.allow(phone.authority.offered[0])
    peer_server.wait_for_state(phone.serial, "device")


def test_adb_with_a_key_that_is_known_is_asked_nothing(peer_server, own):
    phone = own(authority=Authority([peer_server.public_key]))
    peer_server.connect(phone.serial)
    assert phone.authority.offered == []
    phone.drop_connections()
    wait_until(lambda: phone.traffic.connections == 2)
    peer_server.wait_for_state(phone.serial, "device")


def test_adb_shell_signs_with_a_known_key_and_is_refused_with_another(own, tmp_path):
    signers = []
    for name in ("known", "other"):
        keygen(str(tmp_path / name))
        signers.append(PythonRSASigner.FromRSAKeyPath(str(tmp_path / name)))
    phone = own(authority=Authority([(tmp_path / "known.pub").read_text()]))
    with adb_shell_on(phone, rsa_keys=signers[:1]) as client:
        assert client.shell("echo in") == "in\n"
    with pytest.raises(TcpTimeoutException), adb_shell_on(phone, rsa_keys=signers[1:], auth_timeout_s=0.5):
        pass
    with pytest.raises(DeviceAuthError), adb_shell_on(phone):
        pass


def test_the_adb_device_counts_what_clients_ask_for(own):
    phone = own()
    phone.traffic.clear()
    with adb_shell_on(phone) as client:
        client.shell("echo one")
        client.shell("echo two")
    assert phone.traffic.services == ["shell:echo one", "shell:echo two"]
    assert phone.traffic.received["OPEN"] == 2
    assert phone.traffic.bytes_received > 6 * HEADER.size


@pytest.mark.parametrize(
    "message",
    [
        HEADER.pack(b"CNXN", VERSION, MIB, 0, 0, 0),
        HEADER.pack(b"CNXN", VERSION, MIB, 2 * MIB, 0, int.from_bytes(b"CNXN", "little") ^ 0xFFFFFFFF),
        HEADER.pack(b"OPEN", 1, 0, 0, 0, int.from_bytes(b"OPEN", "little") ^ 0xFFFFFFFF),
    ],
    ids=["magic", "length", "order"],
)
def test_the_adb_device_hangs_up_on_whoever_breaks_the_protocol(message):
    with AdbDevice() as device, socket.create_connection((device.host, device.port)) as client:
        client.sendall(message)
        assert client.recv(1) == b""
        wait_until(lambda: len(device.traffic.errors) == 1)


def test_the_adb_device_leaves_nothing_behind():
    with AdbDevice() as device:
        with adb_shell_on(device) as client:
            client.shell("sleep 3603 >/dev/null 2>&1 &")
        private = device.phone.private
    assert not private.exists()
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    assert "sleep 3603" not in lines
    assert private.name not in lines
    assert private.name not in Path("/proc/self/mountinfo").read_text()
