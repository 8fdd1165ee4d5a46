"""A phone as a device, by both ways: what it promises, and says when it cannot keep it."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from peers.adb_clients import wait_until
from peers.adb_devices import device_on
from peers.adbd.auth import Authority
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone

from devices import CommandTimeoutError, Device, DeviceAwayError, DeviceError, TransientDeviceError
from devices.adb.driver import WORKDIR
from devices.inventory import find_device

pytest_plugins = ["peers.adb_fixtures"]
pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

MIB = 1 << 20


def tree_of(folder, *, size=4 * MIB, count=20):
    folder.mkdir()
    (folder / "big").write_bytes(bytes(range(256)) * (size // 256))
    for number in range(count):
        (folder / f'it\'s "{number}" $x').write_bytes(b"\0\r\n" * number)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_exit_code_and_both_streams_come_back_apart(adb_device):
    checked: Device = adb_device
    done = checked.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_death_by_signal_is_told_as_one(adb_device):
    assert adb_device.run(["sh", "-c", "kill -SEGV $$"]).signal == "SIGSEGV"


def test_binary_output_with_nuls_and_line_ends_is_unharmed(adb_device):
    assert adb_device.run(["printf", "a\\r\\n\\000b\\377\\n"]).stdout == b"a\r\n\0b\xff\n"


def test_ten_megabytes_of_output_come_back(adb_device):
    assert len(adb_device.run(["head", "-c", "10000000", "/dev/zero"]).stdout) == 10_000_000


def test_stdin_arrives_and_a_command_that_does_not_read_it_is_no_error(adb_device):
    assert adb_device.run(["wc", "-c"], stdin=b"x" * MIB).stdout.split() == [b"1048576"]
    assert adb_device.run(["true"], stdin=b"x" * (8 * MIB)).exit_code == 0
    says = ["sh", "-c", "head -c 2000000 /dev/zero; exit 3"]
    done = adb_device.run(says, stdin=b"x" * (32 * MIB))
    assert (done.exit_code, len(done.stdout)) == (3, 2_000_000)


def test_a_command_that_is_silent_for_twelve_seconds_is_waited_for(adb_device):
    assert adb_device.run(["sh", "-c", "sleep 12; echo done"], timeout_s=30).stdout == b"done\n"


def test_a_timeout_kills_the_whole_tree_on_the_phone(adb_device):
    sleeper = "sh -c 'sleep 4321'"
    with pytest.raises(CommandTimeoutError, match="was killed with all its children"):
        adb_device.run(["sh", "-c", f"{sleeper} & {sleeper} & sleep 4321"], timeout_s=2)
    left = adb_device.run(["sh", "-c", "grep -l 432[1] /proc/[0-9]*/cmdline 2>/dev/null | wc -l"])
    assert left.stdout.strip() == b"0"


def test_a_tree_is_staged_once_and_comes_back_as_it_was(adb_device, tmp_path):
    tree = tree_of(tmp_path / "tree")
    staged = adb_device.stage(tree, "a" * 64)
    sent = adb_device.content_bytes_sent
    assert sent >= 4 * MIB
    adb_device.pull(staged, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tree)
    adb_device.close()
    with adb_device:
        assert adb_device.stage(tree, "a" * 64) == staged
        assert adb_device.content_bytes_sent == 0


def test_a_work_directory_with_spaces_and_quotes_holds_everything(adb_transport, adb_server, phone, tmp_path):
    tree = tree_of(tmp_path / "tree", size=MIB)
    with device_on(adb_transport, adb_server, phone, '/data/local/tmp/it\'s a "dir" $HOME') as device:
        device.push(tree, "launches/1")
        device.pull("launches/1", tmp_path / "back")
        assert contents(tmp_path / "back") == contents(tree)
        assert device.run(["pwd"]).stdout.decode().strip() == device.workdir


def test_sdcard_is_refused_because_nothing_can_be_run_there(adb_transport, adb_server, phone):
    with pytest.raises(DeviceError, match=r"programs do not run .*noexec; set `workdir`"):
        device_on(adb_transport, adb_server, phone, "/sdcard/pocketbench").open()


def test_a_full_phone_is_told_with_the_numbers(adb_transport, adb_server, tmp_path):
    tree = tree_of(tmp_path / "tree", size=32 * MIB)
    with (
        AdbDevice(Phone(data_bytes=16 * MIB)) as phone,
        device_on(adb_transport, adb_server, phone) as device,
    ):
        with pytest.raises(DeviceError, match=r"no space left \([\d.]+ MiB needed, [\d.]+ MiB free"):
            device.stage(tree, "b" * 64)
        assert device.run(["echo", "fine"]).stdout == b"fine\n"


def test_a_push_that_is_cut_goes_on_where_it_stopped(adb_device, phone, tmp_path):
    tree = tree_of(tmp_path / "tree", size=24 * MIB)
    phone.faults.drop_after(received=12 * MIB)
    with pytest.raises(TransientDeviceError, match="is lost"):
        adb_device.stage(tree, "c" * 64)
    before = adb_device.content_bytes_sent
    adb_device.pull(adb_device.stage(tree, "c" * 64), tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tree)
    assert adb_device.content_bytes_sent - before < 20 * MIB


def test_a_phone_that_goes_away_in_the_middle_of_a_command_is_a_lost_connection(adb_device, phone):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(adb_device.run, ["sh", "-c", "touch begun; exec sleep 60"], timeout_s=90)
        wait_until(phone.phone.path(f"{WORKDIR}/begun").exists)
        phone.drop_connections()
        with pytest.raises(TransientDeviceError, match="is lost"):
            running.result()
    assert adb_device.run(["echo", "back"]).stdout == b"back\n"


def test_a_phone_that_reboots_is_waited_for(adb_device, phone, tmp_path):
    tree = tree_of(tmp_path / "tree", size=MIB)
    adb_device.stage(tree, "d" * 64)
    phone.power_off()
    with pytest.raises(TransientDeviceError, match="is lost"):
        adb_device.transport.execute("true", timeout_s=10)
    phone.power_on()
    assert adb_device.run(["echo", "up"]).stdout == b"up\n"
    adb_device.pull(adb_device.stage(tree, "d" * 64), tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tree)


def test_a_phone_whose_android_is_still_starting_is_waited_for(adb_transport, adb_server):
    with AdbDevice(Phone(properties={"sys.boot_completed": ""})) as phone:
        with pytest.raises(TransientDeviceError, match="is still starting Android: wait until it is up"):
            device_on(adb_transport, adb_server, phone).open()
        phone.phone.has_started()
        with device_on(adb_transport, adb_server, phone) as device:
            assert device.run(["echo", "up"]).stdout == b"up\n"


def test_a_phone_that_stays_away_is_waited_for_once(adb_transport, adb_server, phone):
    with device_on(adb_transport, adb_server, phone, patience_s=2.0) as device:
        phone.power_off()
        with pytest.raises(TransientDeviceError, match="is lost"):
            device.transport.execute("true", timeout_s=10)
        with pytest.raises(DeviceAwayError, match="it was waited for in vain, for"):
            device.run(["true"])
        began = time.monotonic()
        with pytest.raises(DeviceAwayError, match="it was waited for in vain, before"):
            device.run(["true"])
        assert time.monotonic() - began < 15


def test_a_phone_is_pinned_to_cores_it_has(adb_transport, adb_server, phone):
    with device_on(adb_transport, adb_server, phone, cpus=(4, 7)) as device:
        assert device.run(["echo", "pinned"]).stdout == b"pinned\n"
        assert phone.phone.path("/data/system/affinity").read_text() == "90\n"
    with pytest.raises(DeviceError, match="cannot pin to CPUs 9: the device has 0,1,2,3,4,5,6,7"):
        device_on(adb_transport, adb_server, phone, cpus=(9,)).open()


def test_pinning_a_phone_without_taskset_is_refused(adb_transport, adb_server):
    with (
        AdbDevice(Phone(hidden=("taskset",))) as phone,
        pytest.raises(DeviceError, match="it has no taskset"),
    ):
        device_on(adb_transport, adb_server, phone, cpus=(1,)).open()


def test_a_phone_that_does_not_know_this_computer_says_what_to_do(adb_transport, adb_server):
    told = "unlock it and accept the question on its screen"
    with (
        AdbDevice(authority=Authority(keys=[])) as phone,
        pytest.raises(DeviceError, match=told) as caught,
    ):
        device_on(adb_transport, adb_server, phone).open()
    assert not isinstance(caught.value, TransientDeviceError)


def test_a_device_file_is_all_it_takes(adb_transport, adb_server, phone, tmp_path):
    (tmp_path / "pixel7.toml").write_text(
        f'driver = "adb"\nserial = "{phone.serial}"\ntransport = "{adb_transport}"\n'
        f'server_port = {adb_server.port}\nkey_file = "{adb_server.key}"\n'
    )
    with find_device("pixel7", [tmp_path]) as device:
        assert device.workdir == WORKDIR
        assert device.run(["echo", "hello"]).stdout == b"hello\n"
