"""How commands end on a device behind a real SSH server, and that nothing of them stays."""

import subprocess
import threading

import pytest
from peers.processes import dies, is_alive, pids_in
from peers.sshd import Sshd

from devices.base import CommandTimeoutError, TransientDeviceError
from devices.remote import commands
from devices.remote.command_script import OWNER

pytest_plugins = ["peers.command_fixtures", "peers.shell_fixtures"]
pytestmark = [
    pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one"),
    pytest.mark.usefixtures("home"),
]


@pytest.mark.parametrize(("name", "number"), [("SEGV", 11), ("KILL", 9), ("TERM", 15)])
def test_death_by_a_signal_is_told_as_that(run, name, number):
    done = run("sh", "-c", f"echo so far; kill -{name} $$")
    assert (done.exit_code, done.signal, done.stdout) == (128 + number, f"SIG{name}", b"so far\n")
    assert done.stderr == b""


def test_the_death_of_its_whole_group_is_told_as_death(run):
    done = run("sh", "-c", "echo so far; kill -KILL 0")
    assert (done.signal, done.stdout) == ("SIGKILL", b"so far\n")
    assert run("true").exit_code == 0


@pytest.mark.parametrize("script", ["sleep 30", "exec >/dev/null 2>&1; sleep 30"])
def test_a_dropped_connection_is_transient_and_no_death(run, command_sshd, script):
    threading.Timer(0.5, command_sshd.drop_sessions).start()
    assert "is lost" in run.error("sh", "-c", script, kind=TransientDeviceError)
    run.connection.connect()
    commands.sweep(run.shell, "tests")


def test_a_timeout_ends_children_and_those_that_left_the_group(run, tmp_path):
    note = tmp_path / "pids"
    script = (
        f"sleep 300 & echo $! >>{note}; "
        "setsid sh -c 'echo $$ >>{0}; exec sleep 300' & "
        '(setsid sh -c \'(trap "" TERM HUP INT; echo $(exec sh -c "echo \\$PPID") >>{0}; '
        "while :; do sleep 1; done) &' &) & "
        "echo $$ >>{0}; echo so far; echo complaint >&2; sleep 300"
    ).format(note)
    with pytest.raises(CommandTimeoutError, match=r"did not end within 1.5 s, was killed") as caught:
        run("sh", "-c", script, timeout_s=1.5)
    assert (caught.value.stdout, caught.value.stderr) == (b"so far\n", b"complaint\n")
    pids = pids_in(note, 4)
    assert len(pids) == 4
    assert not any(map(is_alive, pids))


def test_a_timeout_while_stdin_is_not_read_is_a_timeout(run):
    assert "did not end" in run.error(
        "sleep", "30", stdin=b"x" * 20_000_000, timeout_s=1, kind=CommandTimeoutError
    )


def test_what_a_command_leaves_behind_is_ended_and_does_not_hold_it_up(run, tmp_path):
    note = tmp_path / "pids"
    script = (
        f"sleep 300 & echo $! >>{note}; setsid sh -c 'echo $$ >>{note}; exec sleep 300' & sleep 0.3; echo x"
    )
    assert run("sh", "-c", script, timeout_s=20).stdout == b"x\n"
    for pid in pids_in(note, 2):
        assert dies(pid, within_s=5)


def test_an_interrupt_here_ends_the_command_there(run, tmp_path, monkeypatch):
    note = tmp_path / "pids"

    def interrupted(*_):
        pids_in(note, 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(run.connection, "_feed", Once(interrupted, run.connection._feed))
    with pytest.raises(KeyboardInterrupt):
        run("sh", "-c", f"echo $$ >{note}; exec sleep 300")
    assert not is_alive(pids_in(note, 1)[0])


def test_a_sweep_ends_only_what_belongs_to_its_owner(run, tmp_path):
    bystander = subprocess.Popen(["sleep", "300"], env={OWNER: "others.x"})
    try:
        commands.sweep(run.shell, "tests")
        assert bystander.poll() is None
        commands.sweep(run.shell, "others")
        assert bystander.wait(10) == -9
    finally:
        bystander.kill()
        bystander.wait()


class Once:
    """Does one thing the first time, another from then on."""

    def __init__(self, first, then):
        self._actions = [first]
        self._then = then

    def __call__(self, *words):
        return self._actions.pop()(*words) if self._actions else self._then(*words)
