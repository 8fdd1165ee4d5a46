"""The connection below a device, by both ways: many commands at once, bad links, old phones, its end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from peers.adb_clients import wait_until
from peers.adb_devices import connection_on, device_on
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.wire import VERSION, VERSION_CHECKSUMS

from devices import DeviceError, TransientDeviceError
from devices.adb.transport import OPEN_TIMEOUT_S
from devices.remote.transport import NotFinishedError

pytest_plugins = ["peers.adb_fixtures"]
pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

MIB = 1 << 20


def test_commands_of_many_threads_get_their_own_answers_on_one_connection(adb_device):
    def ask(number):
        done = adb_device.run(
            ["sh", "-c", f"cat; echo {number}; echo e{number} >&2; sleep 0.1; exit {number}"],
            stdin=b"%d " % number * 50_000,
        )
        return done.exit_code, done.stdout == b"%d " % number * 50_000 + b"%d\n" % number, done.stderr

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))
    assert answers == [(number, True, b"e%d\n" % number) for number in range(24)]


def test_a_command_that_prints_what_nobody_takes_holds_up_no_other(adb_device):
    taking = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(
            adb_device.transport.execute,
            "head -c 20000000 /dev/zero",
            sink=lambda _: taking.wait(20),
            timeout_s=30,
        )
        assert adb_device.run(["echo", "quick"]).stdout == b"quick\n"
        taking.set()
        assert busy.result().exit_code == 0


def test_a_slow_link_that_takes_small_pieces_loses_nothing(adb_transport, adb_server, tmp_path):
    with AdbDevice() as phone:
        phone.faults.slow_link(bytes_per_s=2_000_000, piece_bytes=700)
        with device_on(adb_transport, adb_server, phone) as device:
            assert device.run(["wc", "-c"], stdin=b"x" * MIB).stdout.split() == [b"1048576"]
            (tmp_path / "file").write_bytes(bytes(range(256)) * 4096)
            device.push(tmp_path / "file", "launches/file")
            device.pull("launches/file", tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_output_that_ends_without_an_exit_code_is_one_command_broken_off(adb_device, phone):
    phone.faults.truncate_output_after(100_000)
    told = r"broke a command off \(it ended without an exit code\), and is still there"
    with pytest.raises(TransientDeviceError, match=told):
        adb_device.run(["head", "-c", "1000000", "/dev/zero"])
    assert adb_device.transport.connected
    assert adb_device.run(["echo", "fine"]).stdout == b"fine\n"


def test_of_a_command_that_was_broken_off_nothing_runs_on_and_the_others_do(adb_device, phone):
    connections = phone.traffic.connections
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(adb_device.run, ["sh", "-c", "sleep 2; echo whole"])
        broken = pool.submit(adb_device.run, ["sh", "-c", "setsid sleep 8642 & sleep 8642"])
        wait_until(lambda: phone.break_off("8642"))
        with pytest.raises(TransientDeviceError, match="broke a command off"):
            broken.result()
        assert other.result().stdout == b"whole\n"
    left = adb_device.run(["sh", "-c", "grep -l 864[2] /proc/[0-9]*/cmdline 2>/dev/null | wc -l"])
    assert left.stdout.strip() == b"0"
    assert phone.traffic.connections == connections


def test_a_lock_that_was_broken_off_is_taken_again(adb_device, phone):
    phone.traffic.services.clear()
    assert phone.break_off("lock: held")
    phone.faults.truncate_output_after(10)
    with pytest.raises(TransientDeviceError, match="is lost"):
        adb_device.run(["echo", "a line that does not come through"])
    assert adb_device.run(["echo", "fine"]).stdout == b"fine\n"
    assert sum("lock: held" in service for service in phone.traffic.services) == 1


def test_a_phone_that_stands_still_is_given_up_after_the_commands_own_time(adb_transport, adb_server, phone):
    connection = connection_on(adb_transport, adb_server, phone)
    connection.connect()

    def pieces():
        for number in range(1000):
            phone.faults.stalled = number > 2
            yield bytes(MIB)

    began = time.monotonic()
    with pytest.raises(NotFinishedError):
        connection.execute("cat", stdin=pieces(), timeout_s=3)
    assert time.monotonic() - began < OPEN_TIMEOUT_S
    phone.faults.stalled = False
    connection.close()


def test_an_android_without_exit_codes_is_told_which_is_needed(adb_transport, adb_server):
    with (
        AdbDevice(features=("cmd",)) as phone,
        pytest.raises(DeviceError, match="Android 7 or newer") as caught,
    ):
        connection_on(adb_transport, adb_server, phone).connect()
    assert not isinstance(caught.value, TransientDeviceError)


@pytest.mark.parametrize(("version", "max_payload"), [(VERSION_CHECKSUMS, 4096), (VERSION, 256 * 1024)])
def test_an_older_adbd_gets_what_it_understands(adb_transport, adb_server, version, max_payload):
    with (
        AdbDevice(version=version, max_payload=max_payload) as phone,
        device_on(adb_transport, adb_server, phone) as device,
    ):
        assert device.run(["wc", "-c"], stdin=b"x" * MIB).stdout.split() == [b"1048576"]
        assert len(device.run(["head", "-c", "1000000", "/dev/zero"]).stdout) == 1_000_000
        assert phone.traffic.errors == []


def test_a_command_that_is_too_long_for_adb_is_refused(adb_device):
    with pytest.raises(DeviceError, match="too long for adb, which takes 65000"):
        adb_device.run(["echo", "x" * 70_000])


def test_an_address_at_which_nobody_listens_says_what_to_do(adb_transport, adb_server, phone):
    connection = connection_on(adb_transport, adb_server, phone)
    phone.power_off()
    told = r"pixel: 127.0.0.1:\d+ cannot be reached \(Connection refused\): is it on and in this network\?"
    with pytest.raises(TransientDeviceError, match=told):
        connection.connect()


def test_a_phone_that_takes_connections_and_says_nothing_is_offline(adb_transport, adb_server, phone):
    phone.faults.offline = True
    with pytest.raises(TransientDeviceError, match="it is offline: pull the cable"):
        connection_on(adb_transport, adb_server, phone).connect()


def test_nothing_of_a_connection_is_left_after_it_is_closed(adb_transport, adb_server, phone):
    def use():
        connection = connection_on(adb_transport, adb_server, phone)
        connection.connect()
        connection.hold("echo on; cat", until=b"on", timeout_s=10)
        connection.execute("true", timeout_s=10)
        connection.close()

    def ours():
        names = {thread.name for thread in threading.enumerate()}
        return names, len(list(Path("/proc/self/fd").iterdir()))

    use()  # the server stays connected to the phone, whose end is in this process
    deadline = time.monotonic() + 60
    settled = ours()
    while settled != (settled := _after_a_moment(ours)):
        assert time.monotonic() < deadline
    for _ in range(3):
        use()
    while ours() != settled:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert phone.traffic.errors == []


def _after_a_moment(look):
    time.sleep(0.3)
    return look()
