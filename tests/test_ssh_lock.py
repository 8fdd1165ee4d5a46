"""One session at a time on a device that several hosts can reach: the lock lies on the device."""

import getpass
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from peers.sshd import Sshd

from devices.base import DeviceError, TransientDeviceError
from devices.remote.lock import RemoteLock
from devices.remote.shell import Shell
from devices.ssh.connection import SshConnection
from devices.ssh.routes import resolve

pytest_plugins = ["peers.shell_fixtures"]
pytestmark = [
    pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one"),
    pytest.mark.usefixtures("home"),
]

OTHER_SESSION = """
import sys
from devices.remote.lock import RemoteLock
from devices.remote.shell import Shell
from devices.ssh.connection import SshConnection
from devices.ssh.routes import Destination, resolve

host, port, user, identity, known = sys.argv[1:]
destination = Destination(
    host=host, port=int(port), user=user, identity_file=identity, known_hosts_file=known
)
connection = SshConnection("other", lambda: resolve("other", destination))
connection.connect()
assert RemoteLock(Shell("other", connection), timeout_s=5).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path):
    with Sshd(tmp_path / "sshd", environment={"HOME": str(tmp_path)}) as started:
        yield started


@contextmanager
def session(server, name="bench", timeout_s=0.0, **options):
    """A lock of a session of its own, with its connection."""
    destination = server.destination(**options)
    connection = SshConnection(name, lambda: resolve(name, destination), accept_new=True)
    connection.connect()
    lock = RemoteLock(Shell(name, connection), timeout_s=timeout_s)
    lock.connection = connection
    try:
        yield lock
    finally:
        lock.release()
        connection.close()


def test_a_second_session_is_told_who_holds_the_lock(server):
    with session(server, 'it\'s a \\n "board"') as first, session(server) as second:
        assert first.acquire()
        with pytest.raises(TransientDeviceError) as caught:
            second.acquire()
    told = str(caught.value)
    assert told.startswith(f"bench: held by process {os.getpid()} of {getpass.getuser()} on ")
    assert f"on {socket.gethostname()} as " in told
    assert repr('it\'s a \\n "board"') in told
    assert " since 20" in told
    assert "still so after waiting 0 s: let the other session finish, or stop it" in told


def test_a_second_session_waits_and_gets_it_when_the_first_lets_go(server, caplog):
    with session(server) as first, session(server, timeout_s=20) as second:
        assert first.acquire()
        timer = threading.Timer(0.7, first.release)
        timer.start()
        with caplog.at_level(logging.WARNING):
            assert second.acquire()
        timer.join()
        assert len([one for one in caplog.messages if "waiting up to 20 s" in one]) == 1
        with pytest.raises(TransientDeviceError, match="held by process"):
            first.acquire()


def test_a_lock_can_be_taken_and_let_go_of_again_and_again(server):
    with session(server) as lock:
        lock.release()
        for _ in range(2):
            assert lock.acquire()
            lock.release()
            lock.release()


def test_a_session_that_is_killed_lets_go(server):
    place = server.destination()
    words = [place.host, place.port, place.user, place.identity_file, place.known_hosts_file]
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_SESSION, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with session(server, timeout_s=20) as lock:
            with pytest.raises(TransientDeviceError, match=f"process {other.pid} of "):
                RemoteLock(lock._shell, timeout_s=0).acquire()
            other.kill()
            assert lock.acquire()


def test_a_session_whose_connection_dies_on_the_device_lets_go(server):
    with session(server) as first:
        assert first.acquire()
        server.drop_sessions()
        with session(server, timeout_s=20) as second:
            assert second.acquire()
        first.release()


def test_a_lock_that_a_lost_connection_of_ours_still_holds_is_taken_over(server):
    with session(server) as lock:
        assert lock.acquire()
        server.freeze_sessions()
        lock.connection.connect()
        with session(server) as stranger, pytest.raises(TransientDeviceError, match="held by"):
            stranger.acquire()
        assert lock.acquire()
        with session(server) as stranger, pytest.raises(TransientDeviceError, match="held by"):
            stranger.acquire()


def test_taking_over_kills_nothing_but_the_holder_of_the_lock(server, tmp_path):
    with session(server) as first, session(server) as second:
        assert first.acquire()
        bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
        try:
            # As if a holder file had outlived its process, whose number went to another.
            holder = server.folder / "pocketbench/holder"
            holder.write_text(f"{second._session} {bystander.pid} somebody\n")
            with pytest.raises(TransientDeviceError, match="held by somebody"):
                second.acquire()
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()


def test_what_others_wrote_as_the_holder_is_never_run(server, tmp_path):
    with session(server) as first, session(server) as second:
        assert first.acquire()
        machine = second._session.partition("-")[0]
        told = f"{machine}-999999-1-$(touch${{IFS}}{tmp_path}/run)"
        (server.folder / "pocketbench/holder").write_text(f"{told} 1 somebody\n")
        with pytest.raises(TransientDeviceError, match="held by somebody"):
            second.acquire()
    assert not (tmp_path / "run").exists()


def test_a_holder_that_is_about_to_sign_is_another_session(server):
    with session(server) as first, session(server) as second:
        assert first.acquire()
        (server.folder / "pocketbench/holder").unlink()
        with pytest.raises(TransientDeviceError, match="held by another session"):
            second.acquire()


def test_users_of_all_kinds_may_share_the_lock(server, tmp_path):
    (tmp_path / ".bashrc").write_text("umask 077\n")
    with session(server) as lock:
        assert lock.acquire()
        folder = server.folder / "pocketbench"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o777
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o666}
        assert {path.name for path in folder.iterdir()} == {"lock", "holder"}


def test_noise_of_start_up_files_does_not_disturb_the_lock(server, tmp_path):
    (tmp_path / ".bashrc").write_text("echo lock: taken by noise; echo noise >&2\n")
    with session(server) as lock:
        assert lock.acquire()


@pytest.fixture
def device(tmp_path):
    """Starts servers with another environment."""
    started = []

    def start(**environment):
        server = Sshd(tmp_path / "device", environment={"HOME": str(tmp_path), **environment})
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def tools_in(folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(f"/bin/{name}")
    return folder


def test_without_flock_on_the_device_no_lock_can_lie_there(device, tmp_path):
    tools = tools_in(tmp_path / "tools", "mkdir", "cat", "sleep", "sh")
    with session(device(PATH=str(tools))) as lock:
        assert lock.acquire() is False
        lock.release()


@pytest.mark.parametrize("place", ["/proc/nowhere", "file"])
def test_where_no_directory_can_be_made_no_lock_can_lie(device, tmp_path, place):
    (tmp_path / "file").write_text("")
    with session(device(TMPDIR=str(tmp_path / place))) as lock:
        assert lock.acquire() is False


def test_a_device_without_a_shell_cannot_be_locked(tmp_path):
    with (
        Sshd(tmp_path / "device", options=["ForceCommand echo no shell here"]) as server,
        session(server) as lock,
        pytest.raises(DeviceError, match="bench: cannot lock it: no shell here"),
    ):
        lock.acquire()


def test_a_lock_cannot_be_taken_over_a_line_that_is_lost(server):
    with session(server) as lock:
        lock.connection.close()
        with pytest.raises(TransientDeviceError, match="is lost"):
            lock.acquire()
