"""What adb-shell 0.4.4, adbutils 2.12 and adb itself are known to get wrong: none of it is a device's.

Each test is named after one defect, and holds through an adb server as well as without.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from peers.adb_clients import wait_until
from peers.adb_devices import device_on
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone

from devices import CommandTimeoutError, DeviceError, TransientDeviceError
from devices.adb.driver import WORKDIR

pytest_plugins = ["peers.adb_fixtures"]
pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

MIB = 1 << 20


@pytest.fixture(scope="module")
def phone():
    with AdbDevice() as started:
        yield started
    assert started.traffic.errors == []


@pytest.fixture
def adb_device(adb_transport, adb_server, phone):
    phone.faults.clear()
    if adb_server.state(phone.serial) == "offline":  # the server is still getting over the last test's cut
        adb_server.wait_for_state(phone.serial, "device")
    with device_on(adb_transport, adb_server, phone) as opened:
        yield opened


@pytest.fixture
def tree(tmp_path):
    """Folders in folders, an empty one, and a file of more than one adb message."""
    folder = tmp_path / "tree"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a" / "b" / "deep").write_bytes(b"\0\r\n" * MIB)
    (folder / "it's").write_text("top")
    return folder


def listed(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_adb_shell_has_no_exit_code_and_adbutils_none_without_v2(adb_device):
    assert [adb_device.run(["sh", "-c", f"exit {code}"]).exit_code for code in (0, 1, 7, 255)] == [
        0,
        1,
        7,
        255,
    ]


def test_adb_shell_merges_stderr_into_stdout(adb_device):
    done = adb_device.run(["sh", "-c", "echo out; echo err >&2; echo out"])
    assert (done.stdout, done.stderr) == (b"out\nout\n", b"err\n")


def test_adb_exec_out_always_returns_0(adb_device):
    done = adb_device.run(["sh", "-c", "printf 'a\\r\\n\\000\\377'; exit 3"])
    assert (done.exit_code, done.stdout) == (3, b"a\r\n\0\xff")


def test_adb_shell_gives_a_command_no_stdin(adb_device):
    assert adb_device.run(["wc", "-c"], stdin=b"x" * (2 * MIB)).stdout.split() == [b"2097152"]


def test_adb_shell_and_adbutils_push_of_a_directory_is_broken(adb_device, tree, tmp_path):
    adb_device.push(tree, "pushed")
    adb_device.pull("pushed", tmp_path / "back")
    assert listed(tmp_path / "back") == listed(tree)


def test_adb_shell_ignores_short_socket_writes_and_hangs_on_a_slow_link(
    adb_transport, adb_server, tree, tmp_path
):
    with AdbDevice() as phone:
        phone.faults.slow_link(bytes_per_s=6_000_000, piece_bytes=16 * 1024)
        with device_on(adb_transport, adb_server, phone) as device:
            device.push(tree, "pushed")
            device.pull("pushed", tmp_path / "back")
    assert listed(tmp_path / "back") == listed(tree)


def test_adb_shell_does_not_notice_a_disconnect(adb_transport, adb_device, phone):
    begun = f"begun-{adb_transport}"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(adb_device.run, ["sh", "-c", f"touch {begun}; exec sleep 60"], timeout_s=30)
        wait_until(phone.phone.path(f"{WORKDIR}/{begun}").exists)
        phone.drop_connections()
        # Without a word from the connection this would be a CommandTimeoutError, half a minute later.
        with pytest.raises(TransientDeviceError, match="is lost"):
            running.result()


def test_adb_shell_kills_a_command_that_is_silent_for_ten_seconds(adb_device):
    assert adb_device.run(["sh", "-c", "sleep 11; echo done"], timeout_s=30).stdout == b"done\n"


def test_adb_shell_loses_calls_of_threads_that_share_a_connection(adb_device):
    def asked(number):
        return adb_device.run(["sh", "-c", f"sleep 0.0{number % 7}; echo {number}; head -c 70000 /dev/zero"])

    with ThreadPoolExecutor(6) as pool:
        answers = [done.stdout.split(b"\n")[0] for done in pool.map(asked, range(24))]
    assert answers == [str(number).encode() for number in range(24)]


def test_adb_shell_leaves_a_file_of_a_pull_that_failed(adb_device, phone, tree, tmp_path):
    adb_device.push(tree / "a/b/deep", "deep")
    phone.faults.drop_after(sent=MIB)
    with pytest.raises(TransientDeviceError, match="is lost"):
        adb_device.pull("deep", tmp_path / "back" / "deep")
    assert list((tmp_path / "back").iterdir()) == []
    adb_device.pull("deep", tmp_path / "back" / "deep")
    assert (tmp_path / "back/deep").read_bytes() == (tree / "a/b/deep").read_bytes()


def test_adbutils_pull_of_a_missing_file_makes_an_empty_one_and_raises_nothing(adb_device, tmp_path):
    with pytest.raises(DeviceError, match=r"there is no .*/nothing on the device"):
        adb_device.pull("nothing", tmp_path / "back" / "nothing")
    assert list((tmp_path / "back").iterdir()) == []


def test_adb_closing_the_client_kills_only_the_direct_child(adb_device):
    script = "sh -c 'sleep 7531; :' & setsid sleep 7531 & sleep 7531; :"
    with pytest.raises(CommandTimeoutError, match="was killed with all its children"):
        adb_device.run(["sh", "-c", script], timeout_s=2)
    left = adb_device.run(["sh", "-c", "grep -l 753[1] /proc/[0-9]*/cmdline 2>/dev/null | wc -l"])
    assert left.stdout.strip() == b"0"


def test_adb_push_keeps_what_came_of_a_file_that_was_cut_under_its_name(
    adb_transport, adb_device, phone, tree
):
    phone.faults.drop_after(received=MIB)
    with pytest.raises(TransientDeviceError, match="is lost"):
        adb_device.push(tree / "a/b/deep", f"cut-{adb_transport}")
    assert adb_device.run(["ls", f"cut-{adb_transport}"]).exit_code != 0
    adb_device.push(tree / "a/b/deep", f"cut-{adb_transport}")
    assert int(adb_device.run(["wc", "-c", f"cut-{adb_transport}"]).stdout.split()[0]) == 3 * MIB
