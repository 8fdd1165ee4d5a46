"""Shells of all kinds behind a real SSH server: noisy, small, missing, or slow to answer."""

import shutil

import pytest
from peers.processes import is_alive, pids_in
from peers.sshd import Sshd

from devices.base import CommandTimeoutError, DeviceError, TransientDeviceError
from devices.remote.shell import Unframed, framed, new_token, unframed
from harness.schedule import retried

pytest_plugins = ["peers.command_fixtures", "peers.shell_fixtures"]
pytestmark = [
    pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one"),
    pytest.mark.usefixtures("home"),
]

NOISE = "echo welcome; echo a warning >&2; printf 'no end of line'; sleep 0.3\n"
SHELLS = [
    name
    for name in ("dash", "bash", "busybox sh", "mksh", "zsh", "fish", "tcsh")
    if shutil.which(name.split()[0])
]


def test_what_start_up_files_print_is_not_taken_for_output(start_sshd, tmp_path):
    folder = tmp_path / "noisy"
    folder.mkdir()
    (folder / ".bashrc").write_text(NOISE)
    run = start_sshd(environment={"HOME": str(folder)})
    assert run.connection.execute("true", timeout_s=20).stdout.startswith(b"welcome")
    done = run("sh", "-c", "echo out; echo err >&2; exit 3", stdin=b"unread")
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert run("cat", stdin=b"kept").stdout == b"kept"
    assert run.shell.checked("echo script", attempted="try") == b"script\n"
    assert run.shell.hold("echo ready; cat", until="ready\n")[1] == "ready\n"
    with pytest.raises(CommandTimeoutError) as caught:
        run("sh", "-c", "echo x; sleep 30", timeout_s=1)
    assert (caught.value.stdout, caught.value.stderr) == (b"x\n", b"")


@pytest.mark.parametrize("command", ["echo not for you", "/usr/sbin/nologin", "/bin/false", "cat"])
def test_an_account_without_a_shell_is_told(start_sshd, command):
    run = start_sshd(options=[f"ForceCommand {command}"])
    with pytest.raises(DeviceError) as caught:
        run.shell.checked("true", attempted="look")
    for told in (run.error("true"), str(caught.value)):
        assert "does not run sh for this user" in told
        assert "a forced command?" in told


@pytest.mark.parametrize("shell", SHELLS)
def test_any_login_shell_will_do(start_sshd, shell):
    run = start_sshd(options=[f'ForceCommand {shell} -c "$SSH_ORIGINAL_COMMAND"'])
    done = run("sh", "-c", 'echo "$1"; exit 3', "sh", "a 'b' \"c\" $d", stdin=b"x")
    assert (done.exit_code, done.stdout) == (3, b"a 'b' \"c\" $d\n")
    assert run("sh", "-c", "kill -SEGV $$").signal == "SIGSEGV"
    run.error("sleep", "300", timeout_s=0.5, kind=CommandTimeoutError)


@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed (sh tests/setup.sh)")
def test_the_tools_of_busybox_will_do(start_sshd, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("env", "grep", "head", "kill", "setsid", "sh", "sleep", "taskset"):
        (tools / name).symlink_to(shutil.which("busybox"))
    run = start_sshd(environment={"PATH": str(tools)})
    assert run("sh", "-c", "echo $0; exit 3", "sh", cpu_mask=1).exit_code == 3
    assert "cannot be pinned" in run.error("sh", cpu_mask=1 << 400)
    note = tmp_path / "pids"
    script = f"setsid sh -c 'echo $$ >>{note}; exec sleep 300' & echo $$ >>{note}; sleep 300"
    run.error("sh", "-c", script, timeout_s=1, kind=CommandTimeoutError)
    assert not any(map(is_alive, pids_in(note, 2)))


def test_a_device_that_does_not_answer_a_script_is_transient(run):
    with pytest.raises(TransientDeviceError, match=r"cannot wait: no answer within 0.5 s"):
        run.shell.call("sleep 2", attempted="wait", timeout_s=0.5)


def test_a_failed_script_is_told_with_its_complaint(run):
    with pytest.raises(DeviceError, match="cannot look: the complaint"):
        run.shell.checked("echo noise >&2; echo the complaint >&2; false", attempted="look")
    with pytest.raises(DeviceError, match="cannot look: exit code 7 and no word why"):
        run.shell.checked("exit 7", attempted="look")


def test_a_server_that_starts_no_more_sessions_is_told_with_what_it_says(start_sshd):
    run = start_sshd(options=["MaxSessions 1"])
    held, _ = run.shell.hold("echo ready; cat", until="ready\n")
    assert "starts no more commands" in run.error("true", kind=TransientDeviceError)
    held.close()
    # The server takes a moment to count it out.
    assert retried(lambda: run("true"), attempts=5, pause_s=0.2).exit_code == 0


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_frame_is_found_however_the_stream_is_cut(size):
    token = new_token()
    stream = b"noise " + token[:9].encode() + b"\n" * 70_000 + token.encode() + b"\nown\noutput"
    cleaned = Unframed(token)
    for start in range(0, len(stream), size):
        cleaned.write(stream[start : start + size])
    assert cleaned.begun
    assert cleaned.kept == unframed(stream, token) == b"own\noutput"
    assert token not in framed("true", token)
