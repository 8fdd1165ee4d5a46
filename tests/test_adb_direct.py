"""What is different without an adb server: keys, TLS, the socket, and when this way is chosen."""

import base64
import os
import socket
import stat
import threading

import adbutils
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from peers.adb_clients import wait_until
from peers.adb_devices import connection_on
from peers.adbd.auth import Authority
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer

from devices import DeviceError, TransientDeviceError
from devices.adb.choice import AdbChosenConnection
from devices.adb.direct import AdbDirectConnection, TlsWantedError, host_and_port
from devices.adb.keys import Key, make_key
from devices.adb.pipe import SILENCE_S, TcpPipe

pytest_plugins = ["peers.adb_fixtures"]
pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Nobody's own keys."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ADB_VENDOR_KEYS", raising=False)
    return tmp_path


@pytest.fixture
def phone():
    with AdbDevice() as started:
        yield started
        assert started.traffic.errors == []


@pytest.fixture
def asking_phone():
    """One that trusts nobody yet."""
    with AdbDevice(authority=Authority()) as started:
        yield started
        assert started.traffic.errors == []


def public_of(path):
    return Key(path).public().decode()


def runs(connection):
    connection.connect()
    try:
        return connection.execute("echo in", timeout_s=10).stdout == b"in\n"
    finally:
        connection.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Keys


def test_a_key_is_made_where_adb_has_it_and_only_when_a_phone_asks(phone, asking_phone, home):
    assert runs(AdbDirectConnection("pixel", phone.serial))
    key = home / ".android/adbkey"
    assert not key.exists()
    with pytest.raises(DeviceError, match="unlock it and accept the question on its screen"):
        AdbDirectConnection("pixel", asking_phone.serial, question_timeout_s=0.2).connect()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    wait_until(lambda: asking_phone.authority.offered == [public_of(key)])
    assert key.with_suffix(".pub").read_text() == public_of(key)
    assert sorted(path.name for path in key.parent.iterdir()) == ["adbkey", "adbkey.pub"]
    asking_phone.authority.allow(public_of(key))
    assert runs(AdbDirectConnection("pixel", asking_phone.serial))


def test_googles_adb_gets_in_with_a_key_that_was_made_here(asking_phone, home):
    make_key(home / "adb/.android/adbkey")
    asking_phone.authority.allow(public_of(home / "adb/.android/adbkey"))
    with AdbServer(home / "adb", GOOGLE_ADB) as server:
        server.connect(asking_phone.serial)
        assert asking_phone.authority.offered == []


def test_what_googles_adb_made_is_read_and_its_public_half_is_the_same(asking_phone, adb_server):
    assert base64.b64decode(public_of(adb_server.key).split()[0]) == base64.b64decode(
        adb_server.public_key.split()[0]
    )
    asking_phone.authority.allow(adb_server.public_key)
    assert runs(AdbDirectConnection("pixel", asking_phone.serial, key_file=str(adb_server.key)))
    assert asking_phone.authority.offered == []


def test_making_a_key_leaves_one_alone_that_is_there(home):
    make_key(home / "adbkey")
    before = (home / "adbkey").read_bytes()
    make_key(home / "adbkey")
    assert (home / "adbkey").read_bytes() == before


def test_keys_of_vendors_are_offered_from_files_and_folders(asking_phone, home, monkeypatch, caplog):
    vendor = home / "vendor"
    for name in ("one.adb_key", "two.adb_key", "other"):
        make_key(vendor / name)
    (vendor / "broken.adb_key").write_text("no key")
    asking_phone.authority.allow(public_of(vendor / "two.adb_key"))
    monkeypatch.setenv("ADB_VENDOR_KEYS", f"{home / 'nowhere'}{os.pathsep}{vendor}")
    assert runs(AdbDirectConnection("pixel", asking_phone.serial))
    assert "broken.adb_key is no private key" in caplog.text
    asking_phone.authority.revoke()
    asking_phone.authority.allow(public_of(vendor / "other"))
    monkeypatch.setenv("ADB_VENDOR_KEYS", str(vendor / "other"))
    assert runs(AdbDirectConnection("pixel", asking_phone.serial))


def test_a_key_file_that_cannot_be_used_is_named(asking_phone, home):
    (home / "text").write_text("hello")
    elliptic = ec.generate_private_key(ec.SECP256R1())
    (home / "elliptic").write_bytes(
        elliptic.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    long = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    (home / "long").write_bytes(
        long.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for name, told in (
        ("nowhere", "No such file"),
        ("long", "has 4096 bits, and adb's keys have 2048"),
        ("text", "no PEM without a passphrase"),
        ("elliptic", "no RSA key"),
    ):
        with pytest.raises(DeviceError, match=rf"{name} .*{told}.*correct `key_file`"):
            AdbDirectConnection("pixel", asking_phone.serial, key_file=str(home / name)).connect()


def test_somebody_who_says_yes_in_time_lets_us_in(asking_phone, home, caplog):
    make_key(home / ".android/adbkey")
    public = public_of(home / ".android/adbkey")
    timer = threading.Timer(1.0, lambda: asking_phone.authority.allow(public))
    timer.start()
    assert runs(AdbDirectConnection("pixel", asking_phone.serial, question_timeout_s=10))
    timer.join()
    assert "look at its screen: it asks whether it may trust this computer (10 s)" in caplog.text


# The connection


def test_a_connection_asks_a_silent_phone_for_signs_of_life():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pipe = TcpPipe(*listener.getsockname(), timeout_s=5)
    connected = pipe._socket
    options = [socket.TCP_NODELAY, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT]
    asked = [connected.getsockopt(socket.IPPROTO_TCP, option) for option in options]
    assert asked[0] == 1
    assert asked[1] + asked[2] * asked[3] == SILENCE_S
    assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENCE_S * 1000
    assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    pipe.close()


def test_a_lost_connection_is_noticed_without_a_command(phone):
    connection = AdbDirectConnection("pixel", phone.serial)
    connection.connect()
    assert connection.connected
    phone.drop_connections()
    wait_until(lambda: not connection.connected)
    with pytest.raises(TransientDeviceError, match=r"\(direct\) is lost"):
        connection.execute("true", timeout_s=5)
    connection.close()


def test_what_answers_and_is_no_adbd_is_told_so(phone):
    listener = socket.create_server(("127.0.0.1", 0))

    def greet():
        with listener, listener.accept()[0] as client:
            client.sendall(b"SSH-2.0-OpenSSH_9.2p1 and more words\r\n")
            client.recv(100)

    thread = threading.Thread(target=greet)
    thread.start()
    with pytest.raises(DeviceError, match="it does not speak adb's protocol: is the port right"):
        AdbDirectConnection("pixel", f"127.0.0.1:{listener.getsockname()[1]}").connect()
    thread.join()


def test_a_phone_that_wants_tls_is_sent_to_the_server(phone):
    phone.faults.want_tls()
    with pytest.raises(TlsWantedError, match=r"`adb pair`, then `adb connect`, and set transport = .server."):
        AdbDirectConnection("pixel", phone.serial).connect()


def test_a_refused_service_is_no_lost_connection(phone):
    connection = AdbDirectConnection("pixel", phone.serial)
    connection.connect()
    with pytest.raises(Exception, match="the phone closed the stream"):
        connection._open_service(b"nonsense:")
    assert connection.execute("echo on", timeout_s=5).stdout == b"on\n"
    connection.close()


def test_usb_without_libusb_says_how_to_get_it():
    pytest.importorskip("adb_shell")
    for serial in (None, "0A1B2C3D"):
        with pytest.raises(
            DeviceError, match=r"pip install 'pocketbench\[usb\]', or set transport = .server."
        ):
            AdbDirectConnection("pixel", serial).connect()


@pytest.mark.parametrize(
    ("serial", "place"),
    [
        ("192.168.1.7:5555", ("192.168.1.7", 5555)),
        ("phone.local:5555", ("phone.local", 5555)),
        ("[fe80::1]:5555", ("fe80::1", 5555)),
        ("emulator-5554", None),
        ("adb-1A2B._adb-tls-connect._tcp", None),
        ("phone:99999", None),
        (None, None),
    ],
)
def test_a_serial_with_host_and_port_is_told_from_others(serial, place):
    assert host_and_port(serial) == place


# The choice


def test_a_phone_at_an_address_is_reached_directly_while_no_server_runs(phone):
    connection = AdbChosenConnection("pixel", phone.serial, server_port=free_port())
    connection.connect()
    assert connection.address == f"{phone.serial} (direct)"
    assert connection.execute("exit 3", timeout_s=5).exit_code == 3
    held, printed = connection.hold("echo on; cat", until=b"on", timeout_s=5)
    assert printed == b"on\n"
    held.close()
    connection.close()
    assert not connection.connected


def test_a_server_that_runs_is_used(phone, adb_server):
    connection = AdbChosenConnection("pixel", phone.serial, server_port=adb_server.port)
    connection.connect()
    assert connection.address == f"{phone.serial} (adb server)"
    assert connection.execute("exit 3", timeout_s=5).exit_code == 3
    connection.close()


def test_a_phone_that_wants_tls_gets_a_server_that_is_started_for_it(phone, monkeypatch):
    port = free_port()
    for name, value in {
        "ANDROID_ADB_SERVER_PORT": str(port),
        "ADB_MDNS": "0",
        "ADB_USB": "0",
        "ADB_EMU": "0",
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "0",
    }.items():
        monkeypatch.setenv(name, value)
    phone.faults.want_tls()
    connection = AdbChosenConnection("pixel", phone.serial, server_port=port)
    try:
        assert runs(connection)
        assert connection.address == f"{phone.serial} (adb server)"
    finally:
        adbutils.AdbClient(port=port).server_kill()


def test_both_ways_say_the_same_of_a_phone_that_does_not_know_us(asking_phone, adb_server):
    told = []
    for transport in ("server", "direct"):
        with pytest.raises(DeviceError) as caught:
            connection_on(transport, adb_server, asking_phone).connect()
        told.append(str(caught.value))
    assert told[0] == told[1]
