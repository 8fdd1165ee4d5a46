"""What goes wrong with the test phone when it is told to, as Google's adb and adb-shell see it."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from adb_shell.exceptions import TcpTimeoutException
from peers.adb_clients import (
    MIB,
    TMP,
    adb_shell_on,
    digest,
    lost,
    needs_a_phone,
    noise_file,
    said_by,
    wait_until,
)
from peers.adbd.phone import Phone

pytest_plugins = ["peers.adb_peer_fixtures"]

pytestmark = needs_a_phone


def test_adb_push_fails_when_the_connection_drops_and_works_again_later(peer_server, own, tmp_path):
    phone = own()
    big = noise_file(tmp_path / "big", 20 * MIB)
    phone.faults.drop_after(received=5 * MIB)
    failed = peer_server.run("-s", phone.serial, "push", str(big), f"{TMP}/big")
    assert failed.returncode == 1
    wait_until(lambda: not phone.phone.path(f"{TMP}/big").exists())  # adbd removes what is not complete
    peer_server.wait_for_state(phone.serial, "device")
    assert peer_server.run("-s", phone.serial, "push", str(big), f"{TMP}/big").returncode == 0
    phone.faults.drop_after(sent=5 * MIB)
    assert peer_server.run("-s", phone.serial, "pull", f"{TMP}/big", str(tmp_path / "back")).returncode == 1


def test_adb_command_ends_when_the_connection_drops(peer_server, own):
    phone = own()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(peer_server.run, "-s", phone.serial, "shell", "sleep 30")
        wait_until(lambda: phone.traffic.services == ["shell,v2,raw:sleep 30"])
        phone.drop_connections()
        assert lost(peer_server, running.result(60))


def test_adb_hangs_while_the_device_stalls_and_goes_on_after(peer_server, own):
    phone = own()
    phone.faults.stalled = True
    with pytest.raises(subprocess.TimeoutExpired):
        peer_server.run("-s", phone.serial, "shell", "echo", timeout=1)
    phone.faults.stalled = False
    assert peer_server.run("-s", phone.serial, "shell", "echo here").stdout == b"here\n"


def test_adb_push_is_told_of_a_disk_that_runs_full(peer_server, own, tmp_path):
    big = noise_file(tmp_path / "big", 4 * MIB)
    small_disk = own(Phone(data_bytes=MIB))
    pretended = own()
    pretended.faults.no_space_after(MIB)
    for phone in (small_disk, pretended):
        full = peer_server.run("-s", phone.serial, "push", str(big), f"{TMP}/big")
        assert full.returncode == 1
        assert b"remote write failed: No space left on device" in said_by(full)
        assert not phone.phone.path(f"{TMP}/big").exists()
    done = peer_server.run("-s", small_disk.serial, "shell", f"head -c {2 * MIB} /dev/zero >{TMP}/big")
    assert b"No space left on device" in done.stderr


def test_adb_gets_no_exit_code_with_a_truncated_output(peer_server, own):
    phone = own()
    phone.faults.truncate_output_after(1000)
    cut = peer_server.run("-s", phone.serial, "shell", "head -c 5000 /dev/zero; exit 0")
    assert len(cut.stdout) < 1000
    assert lost(peer_server, cut)
    assert peer_server.run("-s", phone.serial, "shell", "echo whole").stdout == b"whole\n"


def test_adb_pushes_and_pulls_over_a_slow_link(peer_server, own, tmp_path):
    phone = own()
    phone.faults.slow_link(bytes_per_s=2e6, piece_bytes=4096)
    phone.drop_connections()
    wait_until(lambda: phone.traffic.connections == 2)
    peer_server.wait_for_state(phone.serial, "device")
    some = noise_file(tmp_path / "some", MIB)
    assert peer_server.run("-s", phone.serial, "push", str(some), f"{TMP}/some").returncode == 0
    assert peer_server.run("-s", phone.serial, "pull", f"{TMP}/some", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back") == digest(some)


def test_adb_shell_forgets_what_the_socket_of_a_slow_link_did_not_take_at_once(own, tmp_path):
    phone = own()
    phone.faults.slow_link(bytes_per_s=4e6, piece_bytes=4096)
    some = noise_file(tmp_path / "some", MIB)
    with pytest.raises(TcpTimeoutException), adb_shell_on(phone) as client:
        client.push(str(some), f"{TMP}/some", transport_timeout_s=1, read_timeout_s=1)
    assert phone.traffic.bytes_received < MIB


def test_adb_sees_a_device_that_answers_nothing_as_offline(peer_server, own):
    phone = own()
    phone.faults.offline = True
    phone.drop_connections()
    peer_server.wait_for_state(phone.serial, "offline")
    assert b"device offline" in peer_server.run("-s", phone.serial, "shell", "true").stderr
    phone.faults.offline = False
    phone.drop_connections()
    wait_until(lambda: peer_server.state(phone.serial) == "device")


def test_adb_finds_files_and_another_boot_id_after_a_reboot(peer_server, own):
    phone = own()

    def shell(command):
        return peer_server.run("-s", phone.serial, "shell", command).stdout

    before = shell(f"echo kept >{TMP}/kept; sleep 3602 >/dev/null 2>&1 & cat /proc/sys/kernel/random/boot_id")
    assert peer_server.run("-s", phone.serial, "reboot").returncode == 0
    peer_server.wait_for_state(phone.serial, "offline")
    wait_until(lambda: peer_server.state(phone.serial) == "device")
    assert shell(f"cat {TMP}/kept") == b"kept\n"
    assert re.fullmatch(rb"[0-9a-f-]{36}\n", before)
    assert shell("cat /proc/sys/kernel/random/boot_id") != before
    assert shell("pgrep sleep") == b""
