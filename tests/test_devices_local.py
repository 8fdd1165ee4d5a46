"""The local driver against real processes, real disks and a second process that wants the device."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.base import CommandTimeoutError, DeviceError, TransientDeviceError
from devices.local import LocalDevice
from devices.process import stop_running

# A daemon of the wild: it left its session and parent, cleared its environment, is deaf to signals.
DAEMON = """
import os, signal, sys, time
if os.fork():
    {parent}
os.setsid()
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork():
    os._exit(0)
with open(sys.argv[1] + ".new", "w") as stream:
    stream.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
os.execve("/bin/sleep", ["sleep", "300"], {{}})
"""
HANGS = DAEMON.format(parent="print('so far', flush=True); time.sleep(300)")
LEAVES = DAEMON.format(
    parent="\n    while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n    print('done'); sys.exit(0)"
)


@pytest.fixture(autouse=True)
def private_directories(tmp_path, monkeypatch):
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("POCKETBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def device(tmp_path):
    with LocalDevice("bench", str(tmp_path / "a workdir with 'quotes\" and $HOME")) as opened:
        yield opened


@pytest.fixture
def full_disk(tmp_path):
    mount = tmp_path / "small disk"
    mount.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], check=False, capture_output=True
    )
    if tried.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted: {tried.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def python(code, *arguments):
    return [sys.executable, "-c", code, *map(str, arguments)]


def pid_in(path, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not path.exists():
        assert time.monotonic() < deadline, "the process under test did not start"
        time.sleep(0.01)
    return int(path.read_text())


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def dies(pid, within_s=10.0):
    deadline = time.monotonic() + within_s
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_a_command_gives_its_output_its_exit_code_and_its_own_duration(device):
    completed = device.run(
        python("import sys; sys.stderr.write('bad'); print(sys.stdin.read()); sys.exit(3)")
    )
    assert (completed.exit_code, completed.stdout, completed.stderr) == (3, b"\n", b"bad")
    assert completed.signal is None
    slow = device.run(["sleep", "0.2"])
    assert 0.2 <= slow.seconds < 2


def test_stdin_larger_than_a_pipe_arrives_whole(device):
    sent = os.urandom(3_000_000)
    assert device.run(["cat"], stdin=sent).stdout == sent


def test_a_command_that_does_not_read_its_stdin_is_no_error(device):
    assert device.run(["true"], stdin=b"x" * 3_000_000).exit_code == 0


def test_ten_megabytes_on_both_streams_come_back_without_a_deadlock(device):
    code = "import os\nfor _ in range(160): os.write(1, b'o' * 65536); os.write(2, b'e' * 65536)"
    completed = device.run(python(code))
    assert completed.exit_code == 0
    assert completed.stdout == b"o" * 10_485_760
    assert completed.stderr == b"e" * 10_485_760


def test_arguments_reach_the_command_unchanged_by_any_shell(device):
    words = ["a b", "$HOME", "'\"`;&|", "", "ünï", "line\nbreak", "\udcff"]
    code = "import os, sys; os.write(1, b'|'.join(map(os.fsencode, sys.argv[1:])))"
    assert device.run(python(code, *words)).stdout == b"|".join(map(os.fsencode, words))


def test_the_environment_is_minimal_with_what_was_asked_for_added(device, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "do not pass on")
    monkeypatch.setenv("TMPDIR", "/tmp")
    printed = device.run(["/usr/bin/env", "-0"], env={"OMP_WAIT_POLICY": "passive", "ODD": "a b\n'c'"}).stdout
    seen = dict(line.split("=", 1) for line in printed.decode().split("\0") if line)
    assert seen["OMP_WAIT_POLICY"] == "passive"
    assert seen["ODD"] == "a b\n'c'"
    assert seen["TMPDIR"] == "/tmp"
    assert set(seen) <= {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "OMP_WAIT_POLICY", "ODD"}


def test_libraries_for_the_command_do_not_reach_what_watches_over_it(device):
    broken = {
        "LD_PRELOAD": "/nonexistent.so",
        "PYTHONHOME": "/nonexistent",
        "LD_LIBRARY_PATH": "/nonexistent",
    }
    assert device.run(["sh", "-c", "echo $PYTHONHOME"], env=broken).stdout == b"/nonexistent\n"


def test_commands_run_in_the_work_directory_or_where_they_are_told(device):
    assert device.run(["pwd"]).stdout.decode().rstrip("\n") == device.workdir
    device.make_directory("deep/er")
    assert device.run(["pwd"], cwd="deep/er").stdout.decode().rstrip("\n") == f"{device.workdir}/deep/er"


def test_death_by_signal_is_a_result_with_the_signals_name(device):
    crashed = device.run(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert (crashed.signal, crashed.exit_code) == ("SIGSEGV", 139)
    aborted = device.run(python("import os; print('last words', flush=True); os.abort()"))
    assert (aborted.signal, aborted.exit_code, aborted.stdout) == ("SIGABRT", 134, b"last words\n")
    piped = device.run(["sh", "-c", "kill -PIPE $$"])
    assert (piped.signal, piped.exit_code) == ("SIGPIPE", 141)


def test_a_timeout_kills_the_whole_tree_even_a_deaf_daemon_and_keeps_what_was_printed(device, tmp_path):
    with pytest.raises(CommandTimeoutError, match=r"bench: .*did not end within 3 s") as caught:
        device.run(python(HANGS, tmp_path / "pid"), timeout_s=3)
    assert caught.value.stdout == b"so far\n"
    assert not is_alive(pid_in(tmp_path / "pid"))


def test_a_timeout_while_output_floods_in_is_a_timeout(device):
    with pytest.raises(CommandTimeoutError) as caught:
        device.run(["sh", "-c", "echo first; exec yes"], timeout_s=0.5)
    assert caught.value.stdout.startswith(b"first\ny\ny\n")


def test_what_a_finished_command_left_running_is_gone_and_does_not_hold_up_the_result(device, tmp_path):
    completed = device.run(python(LEAVES, tmp_path / "pid"), timeout_s=30)
    assert (completed.exit_code, completed.stdout) == (0, b"done\n")
    assert not is_alive(pid_in(tmp_path / "pid"))


def test_an_interrupt_at_the_keyboard_kills_the_tree_and_propagates(device, tmp_path):
    def interrupt():
        pid_in(tmp_path / "pid")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        device.run(python(HANGS, tmp_path / "pid"))
    thread.join()
    assert not is_alive(pid_in(tmp_path / "pid"))


def test_a_command_dies_with_the_session_that_started_it(tmp_path):
    code = (
        "import sys\nfrom devices.local import LocalDevice\n"
        "with LocalDevice('bench', sys.argv[1]) as device: device.run(sys.argv[2:])"
    )
    session = subprocess.Popen(python(code, tmp_path / "work", *python(HANGS, tmp_path / "pid")))
    pid = pid_in(tmp_path / "pid")
    session.kill()
    session.wait()
    assert dies(pid)


def test_no_descriptor_is_left_open_whatever_becomes_of_a_command(device):
    device.run(["true"])
    before = open_descriptors()
    device.run(["true"])
    with pytest.raises(CommandTimeoutError):
        device.run(["sleep", "300"], timeout_s=0.3)
    with pytest.raises(DeviceError):
        device.run(["no such program"])
    assert open_descriptors() == before


def test_a_missing_program_is_an_error_that_says_device_command_and_what_to_do(device):
    with pytest.raises(
        DeviceError, match=r"^bench: cannot run mnn-bench -v: no program 'mnn-bench'.*install"
    ):
        device.run(["mnn-bench", "-v"])


def test_a_file_that_is_not_executable_is_an_error_that_says_so(device):
    script = Path(device.workdir, "script")
    script.write_text("#!/bin/sh\n")
    with pytest.raises(DeviceError, match="is not executable: chmod"):
        device.run([str(script)])


def test_a_program_for_another_machine_is_an_error_that_says_so(device):
    program = Path(device.workdir, "program")
    program.write_bytes(b"\x7fELF of some other make")
    program.chmod(0o755)
    with pytest.raises(DeviceError, match="no program for this machine"):
        device.run([str(program)])


def test_a_missing_directory_an_empty_command_and_a_nul_byte_are_errors(device):
    with pytest.raises(DeviceError, match=r"no directory '.*nowhere'"):
        device.run(["true"], cwd="nowhere")
    for argv in ([], ["echo", "a\0b"]):
        with pytest.raises(DeviceError, match="empty or holds a NUL byte"):
            device.run(argv)


def test_a_pinned_device_runs_commands_on_its_cpus_only(tmp_path):
    last = max(os.sched_getaffinity(0))
    with LocalDevice("pinned", str(tmp_path / "work"), (last,)) as device:
        printed = device.run(python("import os; print(os.sched_getaffinity(0))")).stdout
    assert printed.decode().strip() == f"{{{last}}}"


def test_cpus_that_are_not_there_are_refused_when_the_device_is_opened(tmp_path):
    with pytest.raises(DeviceError, match=r"cannot pin to CPUs 4000: this process may use 0"):
        LocalDevice("pinned", str(tmp_path / "work"), (4000,)).open()


def test_a_device_that_is_not_open_runs_nothing(tmp_path):
    with pytest.raises(DeviceError, match="is not open"):
        LocalDevice("bench", str(tmp_path)).run(["true"])


def test_staging_sends_nothing_and_refuses_what_is_not_there(device, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"weights")
    assert device.stage(model, "digest") == str(model)
    with pytest.raises(DeviceError, match=r"cannot stage .*missing"):
        device.stage(tmp_path / "missing", "digest")


def test_a_pushed_and_pulled_tree_keeps_contents_modes_and_links(device, tmp_path):
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "run").write_bytes(os.urandom(2_500_000))
    (tree / "bin" / "run").chmod(0o755)
    (tree / "empty").touch()
    (tree / "link").symlink_to("bin/run")
    told = []
    device.push(tree, "bundles/one", progress=lambda done, total: told.append((done, total)))
    device.pull("bundles/one", tmp_path / "back")
    back = tmp_path / "back"
    assert (back / "bin" / "run").read_bytes() == (tree / "bin" / "run").read_bytes()
    assert os.access(back / "bin" / "run", os.X_OK)
    assert (back / "link").readlink() == Path("bin/run")
    assert (back / "empty").stat().st_size == 0
    assert told[-1] == (2_500_000, 2_500_000)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_pushing_again_replaces_the_file_or_the_whole_tree(device, tmp_path):
    for content in ("old", "new"):
        tree = tmp_path / content
        tree.mkdir()
        (tree / content).write_text(content)
        device.push(tree, "tree")
        device.push(tree / content, "file")
    workdir = Path(device.workdir)
    assert [path.name for path in (workdir / "tree").iterdir()] == ["new"]
    assert (workdir / "file").read_text() == "new"
    assert sorted(path.name for path in workdir.iterdir()) == ["file", "tree"]


def test_pushing_what_is_not_there_or_over_another_kind_is_an_error_naming_the_paths(device, tmp_path):
    with pytest.raises(DeviceError, match=r"bench: cannot push .*missing to .*No such file"):
        device.push(tmp_path / "missing", "x")
    device.make_directory("folder")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DeviceError, match=r"cannot push .*Is a directory"):
        device.push(tmp_path / "file", "folder")
    device.push(tmp_path / "file", "file")
    with pytest.raises(DeviceError, match=r"cannot push .*is a file"):
        device.push(Path(device.workdir, "folder"), "file")
    assert sorted(path.name for path in Path(device.workdir).iterdir()) == ["file", "folder"]


def test_a_full_disk_is_an_error_with_the_numbers_and_leaves_nothing_behind(full_disk, tmp_path):
    (tmp_path / "big").write_bytes(b"\1" * 3_000_000)
    with LocalDevice("small", str(full_disk)) as device:
        with pytest.raises(DeviceError, match=r"no space left \(2.9 MiB needed, 1.0 MiB free\)") as caught:
            device.push(tmp_path / "big", "big")
        assert not isinstance(caught.value, TransientDeviceError)
        assert list(full_disk.iterdir()) == []


def test_removing_takes_files_trees_and_nothing_but_never_the_work_directory_s_parent(device):
    device.make_directory("tree/below")
    Path(device.workdir, "file").touch()
    for remote in ("tree", "file", "nothing"):
        device.remove(remote)
    assert list(Path(device.workdir).iterdir()) == []
    for remote in ("/", "..", str(Path(device.workdir).parent)):
        with pytest.raises(DeviceError, match="will not remove"):
            device.remove(remote)


def test_the_work_directory_follows_the_cache_and_the_device_s_name(tmp_path, monkeypatch):
    assert LocalDevice("my 'phone'").workdir == str(tmp_path / "cache" / "devices" / "my 'phone'")
    monkeypatch.delenv("POCKETBENCH_CACHE")
    assert LocalDevice("box").workdir.endswith("pocketbench/devices/box")
    with pytest.raises(DeviceError, match="must be absolute"):
        LocalDevice("box", "relative")


def test_a_work_directory_that_cannot_be_made_is_an_error_naming_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match=r"bench: cannot make its work directory .*file/work"):
        LocalDevice("bench", str(tmp_path / "file" / "work")).open()


HOLD = """
import sys
from devices.local import LocalDevice
with LocalDevice("first", sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_session(tmp_path):
    process = subprocess.Popen(
        python(HOLD, tmp_path / "other"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_device_held_by_another_process_is_refused_naming_that_process(other_session, tmp_path):
    waiting = LocalDevice("second", str(tmp_path / "work"), lock_timeout_s=0.3)
    with pytest.raises(
        TransientDeviceError, match=rf"second: held by process {other_session.pid} as 'first' since 20.*0.3 s"
    ):
        waiting.open()


def test_a_second_process_gets_the_device_when_the_first_lets_go_or_is_killed(other_session, tmp_path):
    threading.Timer(0.3, other_session.kill).start()
    with LocalDevice("second", str(tmp_path / "work"), lock_timeout_s=20) as device:
        assert device.run(["echo", "mine"]).stdout == b"mine\n"


def test_a_device_can_be_opened_again_after_it_was_closed_but_not_twice_at_once(device, tmp_path):
    with pytest.raises(DeviceError, match="is open already"):
        device.open()
    with pytest.raises(TransientDeviceError, match="this very process"):
        LocalDevice("twin", str(tmp_path / "work"), lock_timeout_s=0).open()
    device.close()
    device.close()
    device.open()


def test_facts_and_telemetry_of_this_machine_agree_with_what_python_knows(device):
    facts = device.facts()
    assert facts.driver == "local"
    assert facts.cores == os.cpu_count()
    assert facts.kernel == os.uname().release
    assert facts.ram_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert len(facts.fingerprint) == 16
    assert facts.fingerprint == device.facts().fingerprint
    telemetry = device.telemetry()
    assert telemetry.load_average == pytest.approx(os.getloadavg()[0], abs=1)
    assert 0 < telemetry.memory_available_bytes <= facts.ram_bytes


def test_a_raspberry_pi_s_own_tool_is_asked_for_throttling(device, tmp_path, monkeypatch):
    tool = tmp_path / "vcgencmd"
    tool.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = device.telemetry()
    assert asked.throttled is True
    assert asked.throttle_flags[:2] == ("under_voltage", "throttled")
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert device.telemetry().throttled is None


def test_what_arrives_has_the_content_that_was_sent(device, tmp_path):
    content = os.urandom(5_000_001)
    (tmp_path / "blob").write_bytes(content)
    device.push(tmp_path / "blob", "blob")
    printed = device.run(["sha256sum", "blob"]).stdout.decode()
    assert printed.split()[0] == hashlib.sha256(content).hexdigest()


def test_a_copy_that_differs_from_its_source_is_refused_and_removed(device, tmp_path):
    (tmp_path / "blob").write_bytes(b"\1" * 3_000_000)

    def spoil(done, total):
        (scratch,) = Path(device.workdir).glob(".*.part")
        with scratch.open("ab") as stream:
            stream.write(b"more")

    with pytest.raises(DeviceError, match="arrived with other content than was sent"):
        device.push(tmp_path / "blob", "blob", progress=spoil)
    assert list(Path(device.workdir).iterdir()) == []


def test_stopping_one_command_leaves_another_of_the_same_session_alone(device):
    ended = []
    thread = threading.Thread(target=lambda: ended.append(device.run(["sh", "-c", "sleep 1; echo whole"])))
    thread.start()
    with pytest.raises(CommandTimeoutError):
        device.run(["sleep", "300"], timeout_s=0.3)
    thread.join()
    assert ended[0].stdout == b"whole\n"


def test_another_thread_can_end_what_is_running(tmp_path):
    def run():
        with LocalDevice("host", str(tmp_path), exclusive=False) as device:
            device.run(["sleep", "60"], timeout_s=60)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        began = time.monotonic()
        while not running.done() and time.monotonic() - began < 30:
            stop_running()
            time.sleep(0.05)
        with pytest.raises(DeviceError):
            running.result(timeout=30)
