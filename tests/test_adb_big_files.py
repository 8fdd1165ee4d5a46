"""Big files to a phone and back: through adb's own service for them, and checked while they go."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from peers.adb_devices import device_on
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone

from devices import DeviceError, TransientDeviceError
from devices.adb.outgoing import Outgoing
from devices.remote import large_file, large_push

pytest_plugins = ["peers.adb_fixtures"]
pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

MIB = 1 << 20
SLOW = 60e6
"""Bytes in a second: slower than what is checked only at the end."""

READER = """while [ ! -e done ]; do
    for file in there/.*.part*; do
        [ -s "$file" ] && while [ ! -e done ]; do sleep 0.1; said=read; done <"$file"
    done 2>/dev/null
    sleep 0.02
done; echo "$said"
"""


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


def digest(content):
    return hashlib.sha256(content).hexdigest()


def names_in(device, folder):
    return device.run(["ls", "-A", folder]).stdout.decode().split()


@pytest.mark.parametrize("speed", [0, SLOW])
def test_a_big_file_goes_and_comes_back_by_the_sync_service(adb_device, phone, big, noise, speed, tmp_path):
    big.chmod(0o755)
    phone.faults.limit_speed(speed)
    services(phone)
    adb_device.push(big, 'there/it\'s "big" $x')
    pushed = services(phone)
    adb_device.pull('there/it\'s "big" $x', tmp_path / "back")
    # On a line that is slow enough the phone makes its hash while the file comes, by one more command.
    assert pushed.count("sync") == 1
    assert pushed.count("shell") == 3 or (pushed.count("shell") == 2 and not speed)
    assert sorted(services(phone)) == ["shell", "shell", "sync"]
    assert (tmp_path / "back").read_bytes() == noise
    assert os.access(tmp_path / "back", os.X_OK)
    assert names_in(adb_device, "there") == ["it's", '"big"', "$x"]


def test_a_big_push_that_is_cut_goes_on_where_it_stopped(adb_device, phone, big, noise, tmp_path):
    phone.faults.limit_speed(SLOW)
    phone.faults.drop_after(received=30 * MIB)
    with pytest.raises(TransientDeviceError, match="is lost"):
        adb_device.push(big, "big")
    adb_device.run(["true"])
    before = phone.traffic.bytes_received
    adb_device.push(big, "big")
    assert phone.traffic.bytes_received - before < 24 * MIB
    adb_device.pull("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == noise


def test_a_stage_that_is_cut_goes_on_where_it_stopped(adb_device, phone, big, noise):
    phone.faults.limit_speed(SLOW)
    phone.faults.drop_after(received=30 * MIB)
    with pytest.raises(TransientDeviceError, match="is lost"):
        adb_device.stage(big, "a" * 64)
    adb_device.run(["true"])
    before = phone.traffic.bytes_received
    staged = adb_device.stage(big, "a" * 64)
    assert phone.traffic.bytes_received - before < 24 * MIB
    assert adb_device.run(["sha256sum", staged]).stdout.split()[0].decode() == digest(noise)
    assert names_in(adb_device, "store/part") == []


def test_a_wrong_beginning_in_the_store_is_thrown_away_and_all_goes_by_the_sync_service(
    adb_device, phone, big, noise
):
    partial = f"store/part/{digest(noise)}"
    adb_device.run(["sh", "-c", f"mkdir -p store/part; head -c {20 * MIB} /dev/zero >{partial}"])
    services(phone)
    staged = adb_device.stage(big, "a" * 64)
    assert services(phone).count("sync") == 1
    assert adb_device.run(["sha256sum", staged]).stdout.split()[0].decode() == digest(noise)
    assert names_in(adb_device, "store/part") == []


@pytest.mark.parametrize("size", [MIB, 40 * MIB, 41 * MIB])
def test_a_wrong_beginning_on_the_phone_is_thrown_away(adb_device, phone, big, noise, size, tmp_path):
    partial = large_push.partial_name(big, "big")
    adb_device.run(["sh", "-c", f"head -c {size} /dev/zero >{partial}"])
    adb_device.push(big, "big")
    adb_device.pull("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == noise
    assert partial not in names_in(adb_device, ".")


def test_a_check_that_is_killed_costs_a_big_push_neither_connection_nor_content(
    adb_device, phone, big, noise, tmp_path
):
    phone.faults.limit_speed(SLOW)
    services(phone)
    killed = []

    def kill(done, total):
        if done > 24 * MIB and not killed and phone.break_off("wait_a_moment"):
            killed.append(done)

    adb_device.push(big, "big", progress=kill)
    # Begun, checked, named: what was not checked meanwhile was so at the end, on the connection that stands.
    assert services(phone) == ["shell", "sync", "shell", "shell"]
    assert killed
    adb_device.pull("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == noise


def test_a_phone_that_fills_up_under_a_big_push_is_told_and_nothing_is_left(adb_transport, adb_server, big):
    with (
        AdbDevice(Phone(data_bytes=24 * MIB)) as phone,
        device_on(adb_transport, adb_server, phone) as device,
        ThreadPoolExecutor(1) as pool,
    ):
        # At full speed the service has deleted by its own name what it could not finish before it is renamed.
        phone.faults.limit_speed(SLOW)
        reading = pool.submit(device.run, ["sh", "-c", READER])
        # What came of it is open there until the end, and takes no room all the same.
        with pytest.raises(DeviceError, match=r"no space left \(40\.0 MiB needed, 2[34]\.\d MiB free"):
            device.push(big, "there/big")
        assert names_in(device, "there") == []
        device.run(["touch", "done"])
        assert reading.result().stdout == b"read\n"


def test_a_service_that_gives_up_in_the_middle_is_told_and_nothing_is_left(adb_device, phone, big):
    phone.faults.limit_speed(SLOW)
    phone.faults.no_space_after(20 * MIB)
    with pytest.raises(DeviceError, match=r"cannot push .*no space left"):
        adb_device.push(big, "there/big")
    assert names_in(adb_device, "there") == []
    adb_device.push(big, "there/big")


def test_a_big_file_that_changes_while_it_is_pulled_is_not_taken(adb_device, phone, big, tmp_path):
    adb_device.push(big, "big")
    phone.faults.limit_speed(SLOW)
    written = []

    def write(done, total):
        if done and not written:
            written.append(total)
            line = f"printf changed | dd of={adb_device.workdir}/big bs=1 seek={40 * MIB - 7} conv=notrunc"
            assert adb_device.transport.execute(line, timeout_s=10).exit_code == 0

    (tmp_path / "back").write_bytes(b"before")
    with pytest.raises(TransientDeviceError, match="is something writing to it"):
        adb_device.pull("big", tmp_path / "back", progress=write)
    assert (tmp_path / "back").read_bytes() == b"before"


def test_a_big_file_that_may_not_be_read_is_told(adb_device, big, tmp_path):
    adb_device.push(big, "big")
    adb_device.run(["chmod", "000", "big"])
    with pytest.raises(DeviceError, match="Permission denied"):
        adb_device.pull("big", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_more_than_two_gibibytes_are_compared_right_by_androids_shell(adb_device):
    pairs = [
        (3 << 30, 16 << 20),
        ((1 << 31) - 648, 2164260864),
        (5_000_000_000, 5_000_000_000),
        (7, 12_345_678),
    ]
    script = large_file.AT_LEAST + "".join(f"at_least {a} {b} && echo {a}\n" for a, b in pairs)
    said = adb_device.run(["sh", "-c", f"{script}:"]).stdout.split()
    assert said == [b"%d" % a for a, b in pairs if a >= b]


def test_a_partial_file_of_three_gibibytes_is_thrown_away_where_the_file_is_smaller(adb_device, big):
    partial = large_push.partial_name(big, "big")
    adb_device.run(["sh", "-c", f"dd if=/dev/zero of={partial} bs=1 count=1 seek=3221225471"])
    adb_device.push(big, "big")
    assert partial not in names_in(adb_device, ".")


def test_a_line_is_sent_when_it_is_there_and_not_kept_for_more():
    def lines():
        yield (b"line\n",)
        raise AssertionError("asked for more, which may never come")

    outgoing = Outgoing(lines(), 1 << 20)
    assert outgoing.piece() == outgoing.piece() == [b"line\n"]
