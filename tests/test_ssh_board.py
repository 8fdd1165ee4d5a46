"""The emulated board that the SSH tests talk to: an aarch64 Linux, fresh, private, gone at the end."""

import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from peers.userland import built_tree

pytest_plugins = ["peers.fixtures"]


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def processes_of(namespace):
    """This machine's processes in a pid namespace."""
    found = []
    for link in Path("/proc").glob("[0-9]*/ns/pid"):
        with suppress(OSError):  # it has just ended
            if link.readlink() == namespace:
                found.append(link.parts[2])
    return found


def processes_that_name(directory):
    """Command lines of this machine's processes that mention the directory."""
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    return [line for line in lines.splitlines() if str(directory) in line]


def contents(tree):
    """Every path with its size and time of change."""
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in tree.rglob("*")}


def test_ssh_reaches_an_aarch64_linux_as_a_normal_user_and_as_root(board):
    said = board.run("sh", "-c", "uname -m; id -un; pwd", user="bench").stdout
    assert said.split() == ["aarch64", "bench", "/home/bench"]
    assert board.run("id", "-u").stdout == "0\n"


def test_the_board_has_what_a_board_has(board):
    tools = ["bash", "df", "find", "flock", "getconf", "grep", "ps", "setsid", "sha256sum", "tar", "taskset"]
    look = f"for tool in {' '.join(tools)}; do command -v $tool; done"
    found = board.run("sh", "-c", look, user="bench").stdout
    assert [Path(path).name for path in found.split()] == tools


def test_its_python_runs_as_aarch64(board):
    said = board.run("python3", "-c", "import platform; print(platform.machine())", user="bench")
    assert said.stdout == "aarch64\n"


def test_an_exit_code_comes_back_over_ssh(board):
    assert board.run("sh", "-c", "exit 7", check=False).returncode == 7


def test_its_cpu_is_an_arm_and_its_model_says_that_it_is_emulated(board):
    assert "CPU implementer\t: 0x41" in board.run("cat", "/proc/cpuinfo").stdout
    assert "emulated" in board.run("cat", "/sys/firmware/devicetree/base/model").stdout


def test_sys_is_what_the_test_wants_it_to_be_anew_at_every_boot(own_board):
    board = own_board(sys_files={"class/thermal/thermal_zone0/temp": "71000\n"})
    zone = "/sys/class/thermal/thermal_zone0/temp"
    assert board.run("sh", "-c", f"cat {zone}; ls /sys; echo 50000 > {zone}").stdout == "71000\nclass\n"
    assert (board.sys / "class/thermal/thermal_zone0/temp").read_text() == "50000\n"
    board.restart()
    assert board.run("cat", zone).stdout == "71000\n"


def test_what_is_written_stays_on_this_board_and_off_the_cached_tree(board, own_board):
    before = contents(built_tree())
    board.run("sh", "-c", "echo x >> /etc/passwd-; echo x > /etc/mark; rm /etc/issue")
    assert (board.root / "etc/mark").read_text() == "x\n"
    assert contents(built_tree()) == before
    another = own_board()
    assert another.run("sh", "-c", "ls /etc/mark", check=False).returncode != 0
    assert another.run("cat", "/etc/issue").stdout


def test_a_restart_ends_all_processes_and_keeps_files_and_port(own_board):
    board = own_board()
    port, boot = board.port, board.run("cat", "/proc/sys/kernel/random/boot_id").stdout
    board.run("sh", "-c", "echo kept > kept; sleep 1000 < /dev/null > /dev/null 2>&1 &", user="bench")
    board.restart()
    assert board.port == port
    assert board.run("cat", "kept", user="bench").stdout == "kept\n"
    assert board.run("cat", "/proc/sys/kernel/random/boot_id").stdout != boot
    assert "sleep" not in board.run("ps", "-e").stdout


def test_an_orphan_is_reaped(board):
    done = board.run("sh", "-c", "sh -c 'true & echo $!'; sleep 0.5")
    assert board.run("kill", "-0", done.stdout.strip(), check=False).returncode != 0


def test_a_board_without_python_has_none(own_board):
    board = own_board(python=False)
    assert board.run("sh", "-c", "command -v python3", check=False, user="bench").returncode != 0


def test_after_stop_nothing_listens_runs_or_lies_about(own_board):
    board = own_board()
    namespace = (board.root.parent / "ns/pid").readlink()
    assert answers(board.port)
    assert processes_of(namespace)
    board.stop()
    assert not answers(board.port)
    assert not processes_of(namespace)
    assert not board.directory.exists()


def test_by_hand_it_runs_a_command_and_ends_with_it(board, tmp_path):
    command = f"cat {tmp_path}/a64.toml; exit 7"
    done = by_hand(tmp_path, "--", "sh", "-c", command)
    printed, _ = done.communicate(timeout=60)
    assert done.returncode == 7
    assert f'identity_file = "{tmp_path}/id_ed25519"' in printed
    assert not processes_that_name(tmp_path)
    assert not (tmp_path / "a64.toml").exists()


def test_the_board_ends_when_its_owner_is_killed(board, tmp_path):
    owner = by_hand(tmp_path)
    with owner.stdout as printed:
        assert any("Ctrl-C" in line for line in printed)
        assert processes_that_name(tmp_path / "private")
        owner.kill()
        owner.wait(timeout=10)
    deadline = time.monotonic() + 20
    while processes_that_name(tmp_path / "private"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def by_hand(directory, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.peers.board", directory, *arguments],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
