"""The connection below a device, by both ways: many commands at once, bad links, old phones, its end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
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


def test_commands_of_many_threads_get_their_own_answers_on_one_connection(device):
    def ask(number):
        done = device.run(
            ["sh", "-c", f"cat; echo {number}; echo e{number} >&2; sleep 0.1; exit {number}"],
            stdin=b"%d " % number * 50_000,
        )
        return done.exit_code, done.stdout == b"%d " % number * 50_000 + b"%d\n" % number, done.stderr

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))
    assert answers == [(number, True, b"e%d\n" % number) for number in range(24)]


def test_a_command_that_prints_what_nobody_takes_holds_up_no_other(device):
    taking = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(
            device.transport.execute,
            "head -c 20000000 /dev/zero",
            sink=lambda _: taking.wait(20),
            timeout_s=30,
        )
        assert device.run(["echo", "quick"]).stdout == b"quick\n"
        taking.set()
        assert busy.result().exit_code == 0


def test_a_slow_link_that_takes_small_pieces_loses_nothing(transport, server, tmp_path):
    with AdbDevice() as phone:
        phone.faults.slow_link(bytes_per_s=2_000_000, piece_bytes=700)
        with device_on(transport, server, phone) as device:
            assert device.run(["wc", "-c"], stdin=b"x" * MIB).stdout.split() == [b"1048576"]
            (tmp_path / "file").write_bytes(bytes(range(256)) * 4096)
            device.push(tmp_path / "file", "launches/file")
            device.pull("launches/file", tmp_path / "back")
            assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()


def test_output_that_ends_without_an_exit_code_is_a_lost_connection(device, phone):
    phone.faults.truncate_output_after(100_000)
    with pytest.raises(TransientDeviceError, match=r"is lost .it ended without an exit code"):
        device.run(["head", "-c", "1000000", "/dev/zero"])
    assert device.run(["echo", "fine"]).stdout == b"fine\n"


def test_a_phone_that_stands_still_is_given_up_after_the_commands_own_time(transport, server, phone):
    connection = connection_on(transport, server, phone)
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


def test_an_android_without_exit_codes_is_told_which_is_needed(transport, server):
    with (
        AdbDevice(features=("cmd",)) as phone,
        pytest.raises(DeviceError, match="Android 7 or newer") as caught,
    ):
        connection_on(transport, server, phone).connect()
    assert not isinstance(caught.value, TransientDeviceError)


@pytest.mark.parametrize(("version", "max_payload"), [(VERSION_CHECKSUMS, 4096), (VERSION, 256 * 1024)])
def test_an_older_adbd_gets_what_it_understands(transport, server, version, max_payload):
    with (
        AdbDevice(version=version, max_payload=max_payload) as phone,
        device_on(transport, server, phone) as device,
    ):
        assert device.run(["wc", "-c"], stdin=b"x" * MIB).stdout.split() == [b"1048576"]
        assert len(device.run(["head", "-c", "1000000", "/dev/zero"]).stdout) == 1_000_000
        assert phone.traffic.errors == []


def test_a_command_that_is_too_long_for_adb_is_refused(device):
    with pytest.raises(DeviceError, match="too long for adb, which takes 65000"):
        device.run(["echo", "x" * 70_000])


def test_an_address_at_which_nobody_listens_says_what_to_do(transport, server, phone):
    connection = connection_on(transport, server, phone)
    phone.power_off()
    told = r"pixel: 127.0.0.1:\d+ cannot be reached \(Connection refused\): is it on and in this network\?"
    with pytest.raises(TransientDeviceError, match=told):
        connection.connect()


def test_a_phone_that_takes_connections_and_says_nothing_is_offline(transport, server, phone):
    phone.faults.offline = True
    with pytest.raises(TransientDeviceError, match="it is offline: pull the cable"):
        connection_on(transport, server, phone).connect()


def test_nothing_of_a_connection_is_left_after_it_is_closed(transport, server, phone):
    def use():
        connection = connection_on(transport, server, phone)
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
