"""The test phone as a person starts it: `python -m tests.peers.adbd`."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from peers.adb_clients import needs_a_phone

pytestmark = needs_a_phone


def by_hand(directory, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.peers.adbd", directory, *arguments],
        cwd=Path(__file__).parents[1],
        # What is left of it when it is killed goes with the test.
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        text=True,
    )


def ports_of(device_file):
    """The phone's and the server's, as hexadecimal as /proc/net/tcp has them."""
    words = dict(line.split(" = ") for line in device_file.read_text().splitlines())
    return [f":{int(port):04X} " for port in (words["serial"].strip('"').split(":")[1], words["server_port"])]


def listening(ports):
    lines = Path("/proc/net/tcp").read_text().splitlines()
    return [port for port in ports for line in lines if port in line and " 0A " in line]


@pytest.mark.parametrize("release", ["android14", "android9"])
def test_by_hand_the_phone_runs_a_command_and_ends_with_it(tmp_path, release):
    command = f"cat {tmp_path}/phone.toml; exit 7"
    done = by_hand(tmp_path, "--release", release, "--", "sh", "-c", command)
    printed, _ = done.communicate(timeout=60)
    assert done.returncode == 7
    assert 'driver = "adb"' in printed
    assert "emulated = true" in printed
    assert (tmp_path / "adb/.android/adbkey").exists()
    assert not (tmp_path / "phone.toml").exists()


def test_the_phone_and_its_server_end_when_their_owner_is_killed(tmp_path):
    owner = by_hand(tmp_path)
    with owner.stdout as printed:
        assert any("Ctrl-C" in line for line in printed)
        ports = ports_of(tmp_path / "phone.toml")
        assert listening(ports) == ports
        owner.kill()
        owner.wait(timeout=10)
    deadline = time.monotonic() + 20
    while listening(ports):
        assert time.monotonic() < deadline
        time.sleep(0.1)
