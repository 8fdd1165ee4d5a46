"""Commands on a device behind a real SSH server: what they get, what they leave, how they end."""

import os
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
from peers.sshd import Sshd

from devices.base import CommandTimeoutError, DeviceError, TransientDeviceError
from devices.remote import commands
from devices.remote.shell import Shell, Unframed, framed, new_token, unframed
from devices.ssh.connection import SshConnection
from devices.ssh.routes import resolve

pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one")

NOISE = "echo welcome; echo a warning >&2; printf 'no end of line'; sleep 0.3\n"
SHELLS = [
    name
    for name in ("dash", "bash", "busybox sh", "mksh", "zsh", "fish", "tcsh")
    if shutil.which(name.split()[0])
]


class Runner:
    """Runs commands on one server, over one connection."""

    def __init__(self, server):
        self.server = server
        self.connection = SshConnection("bench", lambda: resolve("bench", server.destination()))
        self.shell = Shell("bench", self.connection)
        self.connection.connect()

    def __call__(self, *argv, cwd=None, env=None, stdin=b"", timeout_s=20.0, cpu_mask=None):
        command = commands.Command(
            argv=list(map(str, argv)),
            cwd=str(cwd or self.server.folder),
            env=env or {},
            owner="tests",
            cpu_mask=cpu_mask,
        )
        return commands.run(self.shell, command, stdin=stdin, timeout_s=timeout_s)

    def error(self, *argv, kind=DeviceError, **rest):
        with pytest.raises(kind) as caught:
            self(*argv, **rest)
        assert type(caught.value) is kind
        return str(caught.value)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sshd")
    with Sshd(folder, environment={"HOME": str(folder), "SECRET": "of the session", "LANG": "C"}) as started:
        yield started


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture(scope="module")
def runner(server):
    started = Runner(server)
    yield started
    started.connection.close()


@pytest.fixture
def run(runner):
    if not runner.connection.connected:
        runner.connection.connect()
    return runner


@pytest.fixture
def start_sshd(tmp_path):
    """Servers with other settings, each with a runner."""
    started = []

    def start(**options):
        server = Sshd(tmp_path / f"sshd{len(started)}", **options)
        server.start()
        runner = Runner(server)
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.connection.close()
        runner.server.stop()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids_in(path, count, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not path.exists() or len(path.read_text().split()) < count:
        assert time.monotonic() < deadline, "the command did not start what it should"
        time.sleep(0.01)
    return [int(word) for word in path.read_text().split()]


# What goes in and what comes out.


def test_exit_code_and_streams_come_back_apart(run):
    done = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.exit_code, done.stdout, done.stderr, done.signal) == (3, b"out\n", b"err\n", None)


def test_a_command_s_duration_is_its_own(run):
    assert 0.1 < run("sleep", "0.2").seconds < 5


def test_bytes_of_any_kind_come_back_as_they_were(run):
    data = bytes(range(256)) * 500 + b"\n\n\0"
    done = run("sh", "-c", "cat; printf '\\0\\377\\n\\n' >&2", stdin=data)
    assert (done.stdout, done.stderr) == (data, b"\0\xff\n\n")


def test_ten_megabytes_on_both_streams_at_once_come_back_whole(run):
    script = "head -c 10000000 /dev/zero & head -c 10000000 /dev/zero >&2; wait"
    done = run("sh", "-c", script, timeout_s=60)
    assert (len(done.stdout), len(done.stderr)) == (10_000_000, 10_000_000)


def test_stdin_of_many_packets_arrives_whole(run):
    data = os.urandom(3_000_000)
    assert run("cat", stdin=data).stdout == data


def test_a_command_that_never_reads_its_stdin_is_no_error(run):
    assert run("true", stdin=b"x" * 1_000_000).exit_code == 0
    assert run("sh", "-c", "sleep 0.3; exit 4", stdin=b"x" * 10_000_000).exit_code == 4


def test_without_stdin_a_command_reads_its_end(run):
    assert run("cat", timeout_s=10).stdout == b""


@pytest.mark.parametrize(
    "word",
    [
        *("it's", '"', "a\nb", "-n", "--", "né ☃ 日本", "$HOME", "`id`", "$(id)", "!!", "\\"),
        *("a b", "*", "~", "", ";&|<>", "%s", "{a,b}", "\t", "#", "=", "\udcff"),
    ],
)
def test_a_word_arrives_as_it_is(run, word):
    done = run("printf", "%s|", word, f"x{word}", env={"WORD": word})
    assert done.stdout == os.fsencode(f"{word}|x{word}|")
    assert run("sh", "-c", 'printf %s "$WORD"', env={"WORD": word}).stdout == os.fsencode(word)


def test_the_environment_is_clean(run, server):
    lines = run("env", env={"MINE": "yes"}).stdout.decode().splitlines()
    said = dict(line.split("=", 1) for line in lines)
    assert set(said) == {"PATH", "HOME", "LANG", "TMPDIR", "MINE", commands.OWNER}
    assert (said["HOME"], said["MINE"]) == (str(server.folder), "yes")


def test_what_the_caller_sets_comes_before_what_is_inherited(run, tmp_path):
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    assert run("only-here", env={"PATH": f"{tmp_path}:/bin:/usr/bin"}).stdout == b"found\n"


@pytest.mark.parametrize("name", ["a dir", 'it\'s "quoted"', "-dash", "new\nline", "$HOME", "a=b"])
def test_a_directory_of_any_name_can_be_worked_and_run_in(run, tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "tool").write_text('#!/bin/sh\npwd; echo "$1"\n')
    (folder / "tool").chmod(0o755)
    done = run(folder / "tool", "word", cwd=folder)
    assert done.stdout.decode() == f"{folder}\nword\n"
    assert run("./tool", "word", cwd=folder).stdout == done.stdout


def test_a_command_is_pinned(run):
    assert run("sh", "-c", "grep Cpus_allowed_list /proc/self/status", cpu_mask=1).stdout.split()[-1] == b"0"
    assert "cannot be pinned" in run.error("true", cpu_mask=1 << 400)


# What cannot be started.


def test_what_cannot_be_started_is_told_apart(run, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    assert "no program 'no-such-program'" in run.error("no-such-program")
    assert f"no program '{tmp_path}/none'" in run.error(tmp_path / "none")
    assert "is not executable: chmod +x" in run.error(plain)
    assert "is not executable" in run.error(tmp_path)
    assert "no directory '/no/such': make it first" in run.error("true", cwd="/no/such")


def test_a_program_of_another_architecture_is_told(run, tmp_path):
    foreign = tmp_path / "foreign"
    content = bytearray(Path("/bin/true").read_bytes())
    content[18:20] = struct.pack("<H", 8)  # MIPS
    foreign.write_bytes(content)
    foreign.chmod(0o755)
    assert "was it built for another architecture?" in run.error(foreign)
    assert "was it built for another architecture?" in run.error("foreign", env={"PATH": str(tmp_path)})


@pytest.mark.parametrize("code", [2, 126, 127, 255])
def test_an_exit_code_of_a_shell_s_is_also_a_program_s(run, code):
    done = run("sh", "-c", f"echo 'sh: 1: complaint' >&2; exit {code}")
    assert (done.exit_code, done.signal, done.stderr) == (code, None, b"sh: 1: complaint\n")


# How it ends.


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
def test_a_dropped_connection_is_transient_and_no_death(run, server, script):
    threading.Timer(0.5, server.drop_sessions).start()
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
    assert not any(map(alive, pids))


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
        deadline = time.monotonic() + 5
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(pid)


def test_an_interrupt_here_ends_the_command_there(run, tmp_path, monkeypatch):
    note = tmp_path / "pids"

    def interrupted(*_):
        pids_in(note, 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(run.connection, "_feed", Once(interrupted, run.connection._feed))
    with pytest.raises(KeyboardInterrupt):
        run("sh", "-c", f"echo $$ >{note}; exec sleep 300")
    assert not alive(pids_in(note, 1)[0])


def test_a_sweep_ends_only_what_belongs_to_its_owner(run, tmp_path):
    bystander = subprocess.Popen(["sleep", "300"], env={commands.OWNER: "others.x"})
    try:
        commands.sweep(run.shell, "tests")
        assert bystander.poll() is None
        commands.sweep(run.shell, "others")
        assert bystander.wait(10) == -9
    finally:
        bystander.kill()
        bystander.wait()


# Shells of all kinds.


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
        assert "does not run /bin/sh for this user" in told
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
    assert not any(map(alive, pids_in(note, 2)))


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
    assert run("true").exit_code == 0


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


class Once:
    """Does one thing the first time, another from then on."""

    def __init__(self, first, then):
        self._actions = [first]
        self._then = then

    def __call__(self, *words):
        return self._actions.pop()(*words) if self._actions else self._then(*words)
