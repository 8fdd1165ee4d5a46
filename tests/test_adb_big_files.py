"""Big files to a phone and back: through adb's own service for them, and checked while they go."""

import os

import pytest
from peers.adb_devices import device_on
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone

from devices import DeviceError, TransientDeviceError
from devices.adb.outgoing import Outgoing
from devices.remote import large_push

pytest_plugins = ["peers.adb_fixtures"]
pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

MIB = 1 << 20
SLOW = 60e6
"""Bytes in a second: slower than what is checked only at the end."""


@pytest.fixture(scope="module")
def noise():
    return os.urandom(40 * MIB)


@pytest.fixture
def big(tmp_path, noise):
    file = tmp_path / 'it\'s "big" $x'
    file.write_bytes(noise)
    return file


def services(phone):
    """What was opened since the last look, in order."""
    opened = [name.partition(":")[0].partition(",")[0] for name in phone.traffic.services]
    phone.traffic.services.clear()
    return opened


def names_in(device, folder):
    return device.run(["ls", "-A", folder]).stdout.decode().split()


@pytest.mark.parametrize("speed", [0, SLOW])
def test_a_big_file_goes_and_comes_back_by_the_sync_service(device, phone, big, noise, speed, tmp_path):
    big.chmod(0o755)
    phone.faults.limit_speed(speed)
    services(phone)
    device.push(big, 'there/it\'s "big" $x')
    pushed = services(phone)
    device.pull('there/it\'s "big" $x', tmp_path / "back")
    # On a line that is slow enough the phone makes its hash while the file comes, by one more command.
    assert pushed.count("sync") == 1
    assert pushed.count("shell") == 3 or (pushed.count("shell") == 2 and not speed)
    assert sorted(services(phone)) == ["shell", "shell", "sync"]
    assert (tmp_path / "back").read_bytes() == noise
    assert os.access(tmp_path / "back", os.X_OK)
    assert names_in(device, "there") == ["it's", '"big"', "$x"]


def test_a_big_push_that_is_cut_goes_on_where_it_stopped(device, phone, big, noise, tmp_path):
    phone.faults.limit_speed(SLOW)
    phone.faults.drop_after(received=30 * MIB)
    with pytest.raises(TransientDeviceError, match="is lost"):
        device.push(big, "big")
    device.run(["true"])
    before = phone.traffic.bytes_received
    device.push(big, "big")
    assert phone.traffic.bytes_received - before < 24 * MIB
    device.pull("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == noise


@pytest.mark.parametrize("size", [MIB, 40 * MIB, 41 * MIB])
def test_a_wrong_beginning_on_the_phone_is_thrown_away(device, phone, big, noise, size, tmp_path):
    partial = large_push.partial_name(big, "big")
    device.run(["sh", "-c", f"head -c {size} /dev/zero >{partial}"])
    device.push(big, "big")
    device.pull("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == noise
    assert partial not in names_in(device, ".")


def test_a_phone_that_fills_up_under_a_big_push_is_told_and_nothing_is_left(transport, server, big):
    with AdbDevice(Phone(data_bytes=24 * MIB)) as phone, device_on(transport, server, phone) as device:
        with pytest.raises(DeviceError, match=r"no space left \(40\.0 MiB needed, [\d.]+ MiB free"):
            device.push(big, "there/big")
        assert names_in(device, "there") == []


def test_a_service_that_gives_up_in_the_middle_is_told_and_nothing_is_left(device, phone, big):
    phone.faults.limit_speed(SLOW)
    phone.faults.no_space_after(20 * MIB)
    with pytest.raises(DeviceError, match=r"cannot push .*no space left"):
        device.push(big, "there/big")
    assert names_in(device, "there") == []
    device.push(big, "there/big")


def test_a_big_file_that_changes_while_it_is_pulled_is_not_taken(device, phone, big, tmp_path):
    device.push(big, "big")
    phone.faults.limit_speed(SLOW)
    written = []

    def write(done, total):
        if done and not written:
            written.append(total)
            line = f"printf changed | dd of={device.workdir}/big bs=1 seek={40 * MIB - 7} conv=notrunc"
            assert device.transport.execute(line, timeout_s=10).exit_code == 0

    (tmp_path / "back").write_bytes(b"before")
    with pytest.raises(TransientDeviceError, match="is something writing to it"):
        device.pull("big", tmp_path / "back", progress=write)
    assert (tmp_path / "back").read_bytes() == b"before"


def test_a_big_file_that_may_not_be_read_is_told(device, big, tmp_path):
    device.push(big, "big")
    device.run(["chmod", "000", "big"])
    with pytest.raises(DeviceError, match="Permission denied"):
        device.pull("big", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_more_than_two_gibibytes_are_compared_right_by_androids_shell(device):
    pairs = [
        (3 << 30, 16 << 20),
        ((1 << 31) - 648, 2164260864),
        (5_000_000_000, 5_000_000_000),
        (7, 12_345_678),
    ]
    script = large_push.AT_LEAST + "".join(f"at_least {a} {b} && echo {a}\n" for a, b in pairs)
    said = device.run(["sh", "-c", f"{script}:"]).stdout.split()
    assert said == [b"%d" % a for a, b in pairs if a >= b]


def test_a_partial_file_of_three_gibibytes_is_thrown_away_where_the_file_is_smaller(device, big):
    partial = large_push.partial_name(big, "big")
    device.run(["sh", "-c", f"dd if=/dev/zero of={partial} bs=1 count=1 seek=3221225471"])
    device.push(big, "big")
    assert partial not in names_in(device, ".")


def test_a_line_is_sent_when_it_is_there_and_not_kept_for_more():
    def lines():
        yield (b"line\n",)
        raise AssertionError("asked for more, which may never come")

    outgoing = Outgoing(lines(), 1 << 20)
    assert outgoing.piece() == outgoing.piece() == [b"line\n"]
