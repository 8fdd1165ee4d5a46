"""Commands on a device behind a real SSH server: what goes in, what comes out, what cannot be started."""

import os
import struct
from pathlib import Path

import pytest
from peers.sshd import Sshd

from devices.remote.command_script import OWNER

pytest_plugins = ["peers.command_fixtures", "peers.shell_fixtures"]
pytestmark = [
    pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one"),
    pytest.mark.usefixtures("home"),
]


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


def test_the_environment_is_clean(run, command_sshd):
    lines = run("env", env={"MINE": "yes"}).stdout.decode().splitlines()
    said = dict(line.split("=", 1) for line in lines)
    assert set(said) == {"PATH", "HOME", "LANG", "TMPDIR", "MINE", OWNER}
    assert (said["HOME"], said["MINE"]) == (str(command_sshd.folder), "yes")


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
