"""Commands of the local driver: real processes, how they end, and that nothing of them stays."""

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from peers.processes import dies, is_alive, open_descriptors, pids_in, python

from devices.base import CommandTimeoutError, DeviceError
from devices.local import LocalDevice
from devices.process import stop_running

pytest_plugins = ["peers.local_fixtures"]
pytestmark = pytest.mark.usefixtures("private_directories")

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


def test_a_command_gives_its_output_its_exit_code_and_its_own_duration(local_device):
    completed = local_device.run(
        python("import sys; sys.stderr.write('bad'); print(sys.stdin.read()); sys.exit(3)")
    )
    assert (completed.exit_code, completed.stdout, completed.stderr) == (3, b"\n", b"bad")
    assert completed.signal is None
    slow = local_device.run(["sleep", "0.2"])
    assert 0.2 <= slow.seconds < 2


def test_stdin_larger_than_a_pipe_arrives_whole(local_device):
    sent = os.urandom(3_000_000)
    assert local_device.run(["cat"], stdin=sent).stdout == sent


def test_a_command_that_does_not_read_its_stdin_is_no_error(local_device):
    assert local_device.run(["true"], stdin=b"x" * 3_000_000).exit_code == 0


def test_ten_megabytes_on_both_streams_come_back_without_a_deadlock(local_device):
    code = "import os\nfor _ in range(160): os.write(1, b'o' * 65536); os.write(2, b'e' * 65536)"
    completed = local_device.run(python(code))
    assert completed.exit_code == 0
    assert completed.stdout == b"o" * 10_485_760
    assert completed.stderr == b"e" * 10_485_760


def test_arguments_reach_the_command_unchanged_by_any_shell(local_device):
    words = ["a b", "$HOME", "'\"`;&|", "", "ünï", "line\nbreak", "\udcff"]
    code = "import os, sys; os.write(1, b'|'.join(map(os.fsencode, sys.argv[1:])))"
    assert local_device.run(python(code, *words)).stdout == b"|".join(map(os.fsencode, words))


def test_the_environment_is_minimal_with_what_was_asked_for_added(local_device, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "do not pass on")
    monkeypatch.setenv("TMPDIR", "/tmp")
    printed = local_device.run(
        ["/usr/bin/env", "-0"], env={"OMP_WAIT_POLICY": "passive", "ODD": "a b\n'c'"}
    ).stdout
    seen = dict(line.split("=", 1) for line in printed.decode().split("\0") if line)
    assert seen["OMP_WAIT_POLICY"] == "passive"
    assert seen["ODD"] == "a b\n'c'"
    assert seen["TMPDIR"] == "/tmp"
    assert set(seen) <= {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "OMP_WAIT_POLICY", "ODD"}


def test_libraries_for_the_command_do_not_reach_what_watches_over_it(local_device):
    broken = {
        "LD_PRELOAD": "/nonexistent.so",
        "PYTHONHOME": "/nonexistent",
        "LD_LIBRARY_PATH": "/nonexistent",
    }
    assert local_device.run(["sh", "-c", "echo $PYTHONHOME"], env=broken).stdout == b"/nonexistent\n"


def test_commands_run_in_the_work_directory_or_where_they_are_told(local_device):
    assert local_device.run(["pwd"]).stdout.decode().rstrip("\n") == local_device.workdir
    local_device.make_directory("deep/er")
    assert (
        local_device.run(["pwd"], cwd="deep/er").stdout.decode().rstrip("\n")
        == f"{local_device.workdir}/deep/er"
    )


def test_death_by_signal_is_a_result_with_the_signals_name(local_device):
    crashed = local_device.run(python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    assert (crashed.signal, crashed.exit_code) == ("SIGSEGV", 139)
    aborted = local_device.run(python("import os; print('last words', flush=True); os.abort()"))
    assert (aborted.signal, aborted.exit_code, aborted.stdout) == ("SIGABRT", 134, b"last words\n")
    piped = local_device.run(["sh", "-c", "kill -PIPE $$"])
    assert (piped.signal, piped.exit_code) == ("SIGPIPE", 141)


def test_a_timeout_kills_the_whole_tree_even_a_deaf_daemon_and_keeps_what_was_printed(local_device, tmp_path):
    with pytest.raises(CommandTimeoutError, match=r"bench: .*did not end within 3 s") as caught:
        local_device.run(python(HANGS, tmp_path / "pid"), timeout_s=3)
    assert caught.value.stdout == b"so far\n"
    assert not is_alive(pids_in(tmp_path / "pid", 1)[0])


def test_a_timeout_while_output_floods_in_is_a_timeout(local_device):
    with pytest.raises(CommandTimeoutError) as caught:
        local_device.run(["sh", "-c", "echo first; exec yes"], timeout_s=0.5)
    assert caught.value.stdout.startswith(b"first\ny\ny\n")


def test_what_a_finished_command_left_running_is_gone_and_does_not_hold_up_the_result(local_device, tmp_path):
    completed = local_device.run(python(LEAVES, tmp_path / "pid"), timeout_s=30)
    assert (completed.exit_code, completed.stdout) == (0, b"done\n")
    assert not is_alive(pids_in(tmp_path / "pid", 1)[0])


def test_an_interrupt_at_the_keyboard_kills_the_tree_and_propagates(local_device, tmp_path):
    def interrupt():
        pids_in(tmp_path / "pid", 1)
        # The command may be quicker than our own way from starting it to waiting for it.
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        local_device.run(python(HANGS, tmp_path / "pid"))
    thread.join()
    assert not is_alive(pids_in(tmp_path / "pid", 1)[0])


def test_a_command_dies_with_the_session_that_started_it(tmp_path):
    code = (
        "import sys\nfrom devices.local import LocalDevice\n"
        "with LocalDevice('bench', sys.argv[1]) as device: device.run(sys.argv[2:])"
    )
    session = subprocess.Popen(python(code, tmp_path / "work", *python(HANGS, tmp_path / "pid")))
    (pid,) = pids_in(tmp_path / "pid", 1)
    session.kill()
    session.wait()
    assert dies(pid)


def test_no_descriptor_is_left_open_whatever_becomes_of_a_command(local_device):
    local_device.run(["true"])
    before = open_descriptors()
    local_device.run(["true"])
    with pytest.raises(CommandTimeoutError):
        local_device.run(["sleep", "300"], timeout_s=0.3)
    with pytest.raises(DeviceError):
        local_device.run(["no such program"])
    assert open_descriptors() == before


def test_a_missing_program_is_an_error_that_says_device_command_and_what_to_do(local_device):
    with pytest.raises(
        DeviceError, match=r"^bench: cannot run mnn-bench -v: no program 'mnn-bench'.*install"
    ):
        local_device.run(["mnn-bench", "-v"])


def test_a_file_that_is_not_executable_is_an_error_that_says_so(local_device):
    script = Path(local_device.workdir, "script")
    script.write_text("#!/bin/sh\n")
    with pytest.raises(DeviceError, match="is not executable: chmod"):
        local_device.run([str(script)])


def test_a_program_for_another_machine_is_an_error_that_says_so(local_device):
    program = Path(local_device.workdir, "program")
    program.write_bytes(b"\x7fELF of some other make")
    program.chmod(0o755)
    with pytest.raises(DeviceError, match="no program for this machine"):
        local_device.run([str(program)])


def test_a_missing_directory_an_empty_command_and_a_nul_byte_are_errors(local_device):
    with pytest.raises(DeviceError, match=r"no directory '.*nowhere'"):
        local_device.run(["true"], cwd="nowhere")
    for argv in ([], ["echo", "a\0b"]):
        with pytest.raises(DeviceError, match="empty or holds a NUL byte"):
            local_device.run(argv)


def test_stopping_one_command_leaves_another_of_the_same_session_alone(local_device):
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(local_device.run(["sh", "-c", "sleep 1; echo whole"]))
    )
    thread.start()
    with pytest.raises(CommandTimeoutError):
        local_device.run(["sleep", "300"], timeout_s=0.3)
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
