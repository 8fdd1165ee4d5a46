"""The whole device over a real SSH server: what it promises, and says when it cannot keep it."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from peers.processes import is_alive
from peers.proxy import Proxy
from peers.ssh_devices import device_on, tmpfs
from peers.sshd import Sshd

from devices import (
    CommandTimeoutError,
    Device,
    DeviceAwayError,
    DeviceBusyError,
    DeviceError,
    TransientDeviceError,
)
from devices.local import LocalDevice

pytest_plugins = ["peers.fixtures", "peers.shell_fixtures"]


@pytest.fixture
def device(own_sshd, tmp_path):
    with device_on(own_sshd, tmp_path / "work") as opened:
        yield opened


def test_the_driver_keeps_the_device_protocol(device):
    checked: Device = device
    assert checked.run(["echo", "hello"]).stdout == b"hello\n"


def test_opening_makes_the_work_directory_and_says_its_absolute_path(own_sshd, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with device_on(own_sshd, tmp_path / "link" / "deep" / "work") as opened:
        assert opened.workdir == str(tmp_path / "real" / "deep" / "work")
        assert opened.run(["pwd"]).stdout.decode().strip() == opened.workdir


def test_a_tilde_in_the_work_directory_is_the_home_there(tmp_path):
    with (
        Sshd(tmp_path / "sshd", environment={"HOME": str(tmp_path / "home")}) as server,
        device_on(server, '~/it\'s "a" dir') as opened,
    ):
        assert opened.workdir == str(tmp_path / "home" / 'it\'s "a" dir')


def test_a_work_directory_with_spaces_and_quotes_holds_everything(own_sshd, tmp_path):
    source = tmp_path / "tree"
    source.mkdir()
    (source / "a 'b' \"c\" $d").write_text("odd")
    with device_on(own_sshd, tmp_path / 'it\'s a "work" $HOME `dir`') as opened:
        staged = opened.stage(source, "0" * 64)
        opened.push(source, "launches/1")
        opened.pull("launches/1", tmp_path / "back")
        assert (tmp_path / "back" / "a 'b' \"c\" $d").read_text() == "odd"
        assert opened.run(["cat", f"{staged}/a 'b' \"c\" $d"]).stdout == b"odd"
        assert opened.run(["sh", "-c", 'cat "$NAME"/*'], env={"NAME": staged}).stdout == b"odd"
        opened.remove("launches/1")
        assert opened.run(["ls", "launches"]).stdout == b""


@pytest.mark.parametrize("workdir", ["relative/dir", "/tmp/with:colon", "/tmp/with\nnewline"])
def test_a_work_directory_that_could_not_work_is_refused(own_sshd, workdir):
    with pytest.raises(DeviceError, match=r"workdir .* must be absolute or start with ~/, without colons"):
        device_on(own_sshd, workdir).open()


def test_a_read_only_work_directory_is_told(own_sshd, tmp_path):
    with (
        tmpfs(tmp_path / "disk", "ro"),
        pytest.raises(DeviceError, match=r"cannot write its work directory .*Read-only.*set `workdir`"),
    ):
        device_on(own_sshd, tmp_path / "disk" / "work").open()


def test_a_noexec_work_directory_is_told(own_sshd, tmp_path):
    with (
        tmpfs(tmp_path / "disk", "noexec"),
        pytest.raises(DeviceError, match=r"programs do not run .*noexec; set `workdir`"),
    ):
        device_on(own_sshd, tmp_path / "disk" / "work").open()


def test_a_full_disk_is_told_when_the_device_is_opened(own_sshd, tmp_path):
    with tmpfs(tmp_path / "disk", "size=64k") as disk:
        (disk / "filler").write_bytes(b"x" * 65536)
        with pytest.raises(DeviceError, match=r"no space left there \(0 bytes free\)"):
            device_on(own_sshd, disk / "work").open()


def test_what_could_not_be_opened_can_be_opened_once_it_is_mended(own_sshd, tmp_path):
    (tmp_path / "work").write_text("in the way")
    device = device_on(own_sshd, tmp_path / "work")
    with pytest.raises(DeviceError, match="cannot write its work directory"):
        device.open()
    (tmp_path / "work").unlink()
    with device:
        assert device.run(["true"]).exit_code == 0


def test_a_device_that_is_not_open_runs_nothing(own_sshd, tmp_path):
    with pytest.raises(DeviceError, match="is not open"):
        device_on(own_sshd, tmp_path / "work").run(["true"])


def test_facts_and_telemetry_need_no_open_and_agree_with_this_machine(own_sshd, tmp_path):
    device = device_on(own_sshd, tmp_path / "work")
    facts, local = device.facts(), LocalDevice("here").facts()
    assert (facts.driver, facts.arch, facts.kernel, facts.cores) == (
        "ssh",
        local.arch,
        local.kernel,
        local.cores,
    )
    assert facts.interpreters
    assert device.telemetry().memory_available_bytes
    assert not (tmp_path / "work").exists()
    device.close()


def test_a_pinned_device_runs_commands_on_its_cpus_only(own_sshd, tmp_path):
    with device_on(own_sshd, tmp_path / "work", cpus=(1,)) as device:
        code = "import os; print(sorted(os.sched_getaffinity(0)))"
        assert device.run([sys.executable, "-c", code]).stdout == b"[1]\n"


def test_cpus_the_device_does_not_have_are_refused_when_it_is_opened(own_sshd, tmp_path):
    with pytest.raises(DeviceError, match=r"cannot pin to CPUs 0,77: the device has 0,1.*correct `cpus`"):
        device_on(own_sshd, tmp_path / "work", cpus=(0, 77)).open()


def test_pinning_without_taskset_is_refused(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "mkdir", "cat", "rm", "grep", "chmod", "flock", "sleep", "uname", "tar", "head"):
        (programs / name).symlink_to(shutil.which(name))
    with (
        Sshd(tmp_path / "sshd", environment={"PATH": str(programs)}) as server,
        pytest.raises(DeviceError, match=r"cannot pin to CPUs 0: it has no taskset"),
    ):
        device_on(server, tmp_path / "work", cpus=(0,)).open()


def test_a_command_that_hangs_is_killed_with_its_whole_tree(device, tmp_path):
    sleeper = "sh -c 'echo $$ >>pids; exec sleep 300'"
    script = f"setsid -f {sleeper}; {sleeper} & sleep 302"
    with pytest.raises(CommandTimeoutError, match="did not end within 2 s, was killed with all its children"):
        device.run(["sh", "-c", script], timeout_s=2)
    pids = (tmp_path / "work" / "pids").read_text().split()
    assert len(pids) == 2
    assert not [pid for pid in pids if is_alive(pid)]
    assert device.run(["echo", "still there"]).stdout == b"still there\n"


def test_a_second_session_is_told_who_holds_the_device(device, own_sshd, tmp_path):
    with pytest.raises(
        TransientDeviceError, match=rf"held by process {os.getpid()} of \w+ on .* since .*after waiting 1 s"
    ):
        device_on(own_sshd, tmp_path / "elsewhere", name="same board", lock_timeout_s=1.0).open()


def test_a_second_session_gets_the_device_when_the_first_lets_go(device, own_sshd, tmp_path):
    device.close()
    with device_on(own_sshd, tmp_path / "elsewhere") as second:
        assert second.run(["true"]).exit_code == 0


def other_session(own_sshd, workdir):
    """A process of its own that has the device open and runs something long on it."""
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from types import SimpleNamespace
        from peers.ssh_devices import device_on
        peer = SimpleNamespace(
            host={own_sshd.host!r}, port={own_sshd.port}, user={own_sshd.user!r},
            identity_file={str(own_sshd.identity_file)!r}, known_hosts={str(own_sshd.known_hosts)!r})
        device = device_on(peer, {str(workdir)!r})
        device.open()
        print("open", flush=True)
        device.run(["sleep", "300"], timeout_s=300)
    """)
    other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "open\n"
    return other


def test_a_session_that_is_killed_lets_go_of_the_device(own_sshd, tmp_path):
    other = other_session(own_sshd, tmp_path / "work")
    other.kill()
    other.wait()
    other.stdout.close()
    with device_on(own_sshd, tmp_path / "work", lock_timeout_s=10.0) as device:
        asked = device.run(["sh", "-c", "ps -eo args | grep -c '[s]leep 300'"])
        assert asked.stdout == b"0\n"


def test_the_work_directory_and_what_lies_above_it_cannot_be_removed(device, tmp_path):
    for path in (tmp_path, "/", device.workdir + "/.."):
        with pytest.raises(DeviceError, match="will not remove"):
            device.remove(str(path))


def test_a_device_that_was_taken_over_while_the_line_was_down_runs_nothing_more(device, own_sshd, tmp_path):
    own_sshd.drop_sessions()
    with device_on(own_sshd, tmp_path / "elsewhere", name="the other"):
        for _ in range(2):
            with pytest.raises(DeviceBusyError, match="as 'the other'"):
                device.run(["true"])
    assert device.run(["echo", "mine again"]).stdout == b"mine again\n"


def test_a_device_that_does_not_come_back_is_waited_for_once(own_sshd, tmp_path):
    with device_on(own_sshd, tmp_path / "work", patience_s=2.0) as device:
        own_sshd.stop()
        with pytest.raises(TransientDeviceError, match="is lost"):
            device.shell.call("true", attempted="notice")
        waited = []
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(DeviceAwayError, match=r"cannot reach .* \(it was waited for in vain"):
                device.run(["true"])
            waited.append(time.monotonic() - began)
        assert waited[1] < 1.0 < waited[0]
        own_sshd.start()
        assert device.run(["echo", "back"]).stdout == b"back\n"


def test_what_a_dead_session_was_working_on_is_removed(own_sshd, tmp_path):
    left = tmp_path / "work" / "launches" / "0123"
    left.mkdir(parents=True)
    with device_on(own_sshd, tmp_path / "work"):
        assert not left.exists()


def test_a_link_in_the_way_of_the_lock_is_not_followed(own_sshd, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    shared = own_sshd.folder / "pocketbench"
    shared.mkdir()
    (shared / "holder").symlink_to(victim)
    with device_on(own_sshd, tmp_path / "work") as device:
        assert device.run(["true"]).exit_code == 0
    assert victim.read_text() == "precious"
    (shared / "lock").unlink()
    (shared / "lock").symlink_to(victim)
    with device_on(own_sshd, tmp_path / "work") as device:
        assert device.run(["true"]).exit_code == 0
    assert victim.read_text() == "precious"


def test_a_push_that_is_cut_goes_on_also_for_a_user_who_is_not_root(board, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "big").write_bytes(os.urandom(8 << 20))
    with (
        Proxy(board.host, board.port) as proxy,
        device_on(board, f"~/{tmp_path.name}", port=proxy.port) as device,
    ):
        proxy.cut_after(5 << 20)
        with pytest.raises(TransientDeviceError, match="is lost"):
            device.stage(tree, "0" * 64)
        device.pull(device.stage(tree, "0" * 64), tmp_path / "back")
        assert proxy.bytes_to_server < 12 << 20
    assert (tmp_path / "back" / "big").read_bytes() == (tree / "big").read_bytes()


def test_the_governor_is_set_again_after_a_reboot_and_put_back_over_a_lost_line(own_board):
    board = own_board()
    governor = board.sys / "devices/system/cpu/cpu0/cpufreq/scaling_governor"
    before = governor.read_text()
    board.user = "root"
    with device_on(board, "~/work", governor="performance") as device:
        assert governor.read_text().strip() == "performance"
        board.restart()
        assert governor.read_text() == before
        assert device.run(["uname", "-m"]).stdout == b"aarch64\n"
        assert governor.read_text().strip() == "performance"
        device.transport.close()
    assert governor.read_text().strip() == before.strip()


def test_a_lock_left_by_a_process_that_is_no_more_is_taken_over_at_once(own_sshd, tmp_path):
    other = other_session(own_sshd, tmp_path / "work")
    own_sshd.freeze_sessions()  # the server does not notice that its client is gone
    other.kill()
    other.wait()
    other.stdout.close()
    with device_on(own_sshd, tmp_path / "work", lock_timeout_s=1.0) as device:
        assert device.run(["echo", "mine"]).stdout == b"mine\n"
