"""Commands on the test phone: what Google's adb, adb-shell and adbutils see of them."""

import hashlib
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from peers.adb_clients import MIB, TMP, adb_shell_on, adbutils_on, digest, needs_a_phone, wait_until

pytest_plugins = ["peers.adb_peer_fixtures"]

pytestmark = needs_a_phone

ALL_BYTES = bytes(range(256)) + b"\r\n\0\n" * 8
PRINT_ALL_BYTES = r"printf 'a\r\n\000b\377\n'"


def test_adb_tells_the_exit_code_and_keeps_stderr_apart(adb):
    done = adb("shell", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_adbutils_tells_the_exit_code_and_keeps_stderr_apart(peer_server, shared_phone):
    done = adbutils_on(peer_server, shared_phone).shell2("echo out; echo err >&2; exit 7", v2=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_adb_without_the_shell_protocol_has_neither(adb):
    done = adb("shell", "-x", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\nerr\n", b"")


def test_adb_sees_a_shell_that_was_killed_as_128_and_its_signal(adb):
    assert adb("shell", "kill -KILL $$").returncode == 137


def test_adb_carries_stdin_to_its_end(adb):
    assert adb("shell", "cat; exit 3", input=ALL_BYTES * 4000).stdout == ALL_BYTES * 4000
    assert adb("shell", input=b"echo $((6 * 7)); exit 5\n").stdout == b"42\n"


def test_adb_is_not_held_up_by_a_command_that_does_not_read_its_stdin(adb):
    assert adb("shell", "echo done", input=bytes(4 * MIB)).stdout == b"done\n"


def test_adb_changes_no_byte_of_what_a_command_prints(peer_server, shared_phone, adb):
    printed = b"a\r\n\0b\xff\n"
    assert adb("exec-out", PRINT_ALL_BYTES).stdout == printed
    assert adb("shell", PRINT_ALL_BYTES).stdout == printed
    with adb_shell_on(shared_phone) as client:
        assert client.exec_out(PRINT_ALL_BYTES, decode=False) == printed
    assert adbutils_on(peer_server, shared_phone).shell(PRINT_ALL_BYTES, encoding=None) == printed


def test_adb_gets_all_of_10_mb_of_output(peer_server, shared_phone, adb):
    command = "head -c 10000000 /dev/urandom | tee /data/local/tmp/printed"
    for print_it in (
        lambda: adb("shell", command).stdout,
        lambda: adb("exec-out", command).stdout,
        lambda: adbutils_on(peer_server, shared_phone).shell(command, encoding=None),
    ):
        printed = print_it()
        assert len(printed) == 10_000_000
        assert hashlib.sha256(printed).hexdigest() == digest(shared_phone.phone.path(f"{TMP}/printed"))


def test_adb_waits_for_a_command_that_is_silent_for_12_s(peer_server, shared_phone, adb):
    def by_adb_shell():
        with adb_shell_on(shared_phone) as client:
            return client.shell("sleep 12; echo awake", read_timeout_s=20).encode()

    with ThreadPoolExecutor() as pool:
        waiting = [
            pool.submit(lambda: adb("shell", "sleep 12; echo awake").stdout),
            pool.submit(
                lambda: adbutils_on(peer_server, shared_phone).shell2("sleep 12; echo awake", v2=True).output
            ),
            pool.submit(by_adb_shell),
        ]
    assert [task.result() for task in waiting] == [b"awake\n", "awake\n", b"awake\n"]


def test_adb_runs_many_commands_one_after_another_and_four_at_once(peer_server, shared_phone, adb):
    for number in range(50):
        assert adb("shell", f"exit {number}").returncode == number
    phone = adbutils_on(peer_server, shared_phone)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: phone.shell2(f"echo {n}; sleep 0.1; exit {n}", v2=True), range(20)))
    assert [(result.stdout, result.returncode) for result in done] == [(f"{n}\n", n) for n in range(20)]


def test_adb_commands_run_as_the_shell_user_in_a_world_of_their_own(adb):
    said = adb(
        "shell", "id -un; pwd; [ $$ -lt 10000 ] && echo few; kill -0 -$$ && echo leads its group"
    ).stdout
    assert said == b"shell\n/\nfew\nleads its group\n"


def test_adb_that_goes_away_takes_only_the_shell_with_it(peer_server, shared_phone, adb):
    started = subprocess.Popen(
        [peer_server.program, "-s", shared_phone.serial, "shell", "echo $$; sleep 3601 & echo $!; wait"],
        env=peer_server.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with started:
        shell, child = (started.stdout.readline().decode().strip() for _ in range(2))
        started.kill()
    wait_until(lambda: not shared_phone.phone.path(f"/proc/{shell}").exists())
    assert shared_phone.phone.path(f"/proc/{child}").exists()
    assert adb("shell", f"kill {child}").returncode == 0


def test_adb_waits_for_what_keeps_the_output_open(adb):
    began = time.monotonic()
    assert adb("shell", "(sleep 1; echo late) & exit 0").stdout == b"late\n"
    assert time.monotonic() - began >= 1
