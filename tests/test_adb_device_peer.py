"""The test device that the ADB tests talk to, judged by those it must be taken for a phone by.

They are Google's adb, as adbutils carries it and as Debian builds it where that is installed, adb-shell, and
adbutils' own Python.
"""

import hashlib
import os
import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import adbutils
import pytest
from adb_shell.adb_device import AdbDeviceTcp
from adb_shell.auth.keygen import keygen
from adb_shell.auth.sign_pythonrsa import PythonRSASigner
from adb_shell.exceptions import (
    AdbCommandFailureException,
    DeviceAuthError,
    PushFailedError,
    TcpTimeoutException,
)
from peers.adbd.arm_phone import ArmPhone
from peers.adbd.auth import Authority
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import DEBIAN_ADB, GOOGLE_ADB, AdbServer
from peers.adbd.wire import HEADER, VERSION, VERSION_CHECKSUMS

pytestmark = [
    pytest.mark.phone,
    pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}"),
]

MIB = 1 << 20
TMP = "/data/local/tmp"
ALL_BYTES = bytes(range(256)) + b"\r\n\0\n" * 8
PRINT_ALL_BYTES = r"printf 'a\r\n\000b\377\n'"
ADBS = [program for program in (GOOGLE_ADB, DEBIAN_ADB) if program.exists()]


@pytest.fixture(scope="module", params=ADBS, ids=["google", "debian"][: len(ADBS)])
def server(request, tmp_path_factory):
    with AdbServer(tmp_path_factory.mktemp("adb"), request.param) as server:
        yield server


@pytest.fixture(scope="module")
def shared():
    with AdbDevice() as device:
        yield device
    assert device.traffic.errors == []


@pytest.fixture
def device(shared, server):
    """An Android 14 that all tests share, known to the server."""
    if server.state(shared.serial) != "device":
        server.connect(shared.serial)
    return shared


@pytest.fixture
def adb(server, device):
    return lambda *words, **options: server.run("-s", device.serial, *words, **options)


@pytest.fixture
def own(server):
    """Starts a device for one test: `own(Phone("android9"))`; connected unless it asks for a key."""
    started = []

    def start(phone=None, **options):
        device = AdbDevice(phone, **options)
        device.start()
        started.append(device)
        if device.authority.is_open:
            server.connect(device.serial)
        return device

    yield start
    for device in started:
        server.run("disconnect", device.serial)
        device.stop()
        assert device.traffic.errors == []


@contextmanager
def adb_shell_on(device, **options):
    client = AdbDeviceTcp(device.host, device.port)
    try:
        client.connect(**options)
        yield client
    finally:
        client.close()


def adbutils_on(server, device):
    return adbutils.AdbClient(host=server.host, port=server.port).device(device.serial)


def said_by(done):
    """Android 10's adb tells errors on stdout."""
    return done.stdout + done.stderr


def lost(server, done):
    """Whether a command without an exit code was noticed; Android 10's adb takes it for a success."""
    return done.returncode != 0 or server.program == DEBIAN_ADB


def noise_file(path, size):
    path.write_bytes(os.urandom(size))
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_until(true, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Connecting


def test_adb_lists_it_as_a_phone(server, device):
    lines = server.run("devices", "-l").stdout.decode().splitlines()
    line = next(line for line in lines if line.startswith(device.serial))
    assert " device product:panther model:Pixel_7 device:panther" in line


def test_adb_does_not_get_in_before_somebody_allows_its_key(server, own):
    phone = own(authority=Authority())
    said = server.run("connect", phone.serial).stdout.decode()
    assert said == f"failed to authenticate to {phone.serial}\n"
    assert server.state(phone.serial) == "unauthorized"
    refused = server.run("-s", phone.serial, "shell", "true")
    assert refused.returncode == 1
    assert b"device unauthorized" in refused.stderr
    assert server.public_key in phone.authority.offered

    phone.authority.allow(phone.authority.offered[0])
    server.wait_for_state(phone.serial, "device")


def test_adb_with_a_key_that_is_known_is_asked_nothing(server, own):
    phone = own(authority=Authority([server.public_key]))
    server.connect(phone.serial)
    assert phone.authority.offered == []
    phone.drop_connections()
    wait_until(lambda: phone.traffic.connections == 2)
    server.wait_for_state(phone.serial, "device")


def test_adb_shell_signs_with_a_known_key_and_is_refused_with_another(own, tmp_path):
    signers = []
    for name in ("known", "other"):
        keygen(str(tmp_path / name))
        signers.append(PythonRSASigner.FromRSAKeyPath(str(tmp_path / name)))
    phone = own(authority=Authority([(tmp_path / "known.pub").read_text()]))
    with adb_shell_on(phone, rsa_keys=signers[:1]) as client:
        assert client.shell("echo in") == "in\n"
    with pytest.raises(TcpTimeoutException), adb_shell_on(phone, rsa_keys=signers[1:], auth_timeout_s=0.5):
        pass
    with pytest.raises(DeviceAuthError), adb_shell_on(phone):
        pass


# Commands


def test_adb_tells_the_exit_code_and_keeps_stderr_apart(adb):
    done = adb("shell", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_adbutils_tells_the_exit_code_and_keeps_stderr_apart(server, device):
    done = adbutils_on(server, device).shell2("echo out; echo err >&2; exit 7", v2=True)
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


def test_adb_changes_no_byte_of_what_a_command_prints(server, device, adb):
    printed = b"a\r\n\0b\xff\n"
    assert adb("exec-out", PRINT_ALL_BYTES).stdout == printed
    assert adb("shell", PRINT_ALL_BYTES).stdout == printed
    with adb_shell_on(device) as client:
        assert client.exec_out(PRINT_ALL_BYTES, decode=False) == printed
    assert adbutils_on(server, device).shell(PRINT_ALL_BYTES, encoding=None) == printed


def test_adb_gets_all_of_10_mb_of_output(server, device, adb):
    command = "head -c 10000000 /dev/urandom | tee /data/local/tmp/printed"
    for print_it in (
        lambda: adb("shell", command).stdout,
        lambda: adb("exec-out", command).stdout,
        lambda: adbutils_on(server, device).shell(command, encoding=None),
    ):
        printed = print_it()
        assert len(printed) == 10_000_000
        assert hashlib.sha256(printed).hexdigest() == digest(device.phone.path(f"{TMP}/printed"))


def test_adb_waits_for_a_command_that_is_silent_for_12_s(server, device, adb):
    def by_adb_shell():
        with adb_shell_on(device) as client:
            return client.shell("sleep 12; echo awake", read_timeout_s=20).encode()

    with ThreadPoolExecutor() as pool:
        waiting = [
            pool.submit(lambda: adb("shell", "sleep 12; echo awake").stdout),
            pool.submit(lambda: adbutils_on(server, device).shell2("sleep 12; echo awake", v2=True).output),
            pool.submit(by_adb_shell),
        ]
    assert [task.result() for task in waiting] == [b"awake\n", "awake\n", b"awake\n"]


def test_adb_runs_many_commands_one_after_another_and_four_at_once(server, device, adb):
    for number in range(50):
        assert adb("shell", f"exit {number}").returncode == number
    phone = adbutils_on(server, device)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: phone.shell2(f"echo {n}; sleep 0.1; exit {n}", v2=True), range(20)))
    assert [(result.stdout, result.returncode) for result in done] == [(f"{n}\n", n) for n in range(20)]


def test_adb_commands_run_as_the_shell_user_in_a_world_of_their_own(adb):
    said = adb(
        "shell", "id -un; pwd; [ $$ -lt 10000 ] && echo few; kill -0 -$$ && echo leads its group"
    ).stdout
    assert said == b"shell\n/\nfew\nleads its group\n"


def test_adb_that_goes_away_takes_only_the_shell_with_it(server, device, adb):
    started = subprocess.Popen(
        [server.program, "-s", device.serial, "shell", "echo $$; sleep 3601 & echo $!; wait"],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with started:
        shell, child = (started.stdout.readline().decode().strip() for _ in range(2))
        started.kill()
    wait_until(lambda: not device.phone.path(f"/proc/{shell}").exists())
    assert device.phone.path(f"/proc/{child}").exists()
    assert adb("shell", f"kill {child}").returncode == 0


def test_adb_waits_for_what_keeps_the_output_open(adb):
    began = time.monotonic()
    assert adb("shell", "(sleep 1; echo late) & exit 0").stdout == b"late\n"
    assert time.monotonic() - began >= 1


# Files


def test_adb_pushes_and_pulls_50_mb(adb, tmp_path):
    big = noise_file(tmp_path / "big", 50 * MIB)
    assert adb("push", str(big), f"{TMP}/big").returncode == 0
    assert adb("shell", f"sha256sum <{TMP}/big").stdout.split()[0].decode() == digest(big)
    assert adb("pull", f"{TMP}/big", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back") == digest(big)
    assert adb("shell", f"rm {TMP}/big").returncode == 0


def test_adb_shell_pushes_and_pulls_50_mb(device, tmp_path):
    big = noise_file(tmp_path / "big", 50 * MIB)
    with adb_shell_on(device) as client:
        client.push(str(big), f"{TMP}/big")
        assert digest(device.phone.path(f"{TMP}/big")) == digest(big)
        client.pull(f"{TMP}/big", str(tmp_path / "back"))
        client.shell(f"rm {TMP}/big")
    assert digest(tmp_path / "back") == digest(big)


def test_adbutils_pushes_and_pulls_50_mb(server, device, tmp_path):
    big = noise_file(tmp_path / "big", 50 * MIB)
    phone = adbutils_on(server, device)
    phone.sync.push(big, f"{TMP}/big")
    assert digest(device.phone.path(f"{TMP}/big")) == digest(big)
    phone.sync.pull(f"{TMP}/big", tmp_path / "back")
    assert digest(tmp_path / "back") == digest(big)
    phone.shell(f"rm {TMP}/big")


def test_adb_pushes_and_pulls_directories(adb, tmp_path):
    names = ["plain", "a b", 'it\'s "quoted"', "ünï ☃", "$HOME", "sub/deep/file", "empty"]
    for name in names:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise_file(path, 0 if name == "empty" else 100_000)
    assert adb("push", str(tmp_path / "tree"), f"{TMP}/tree here").returncode == 0
    assert adb("pull", f"{TMP}/tree here", str(tmp_path / "back")).returncode == 0
    for name in names:
        assert digest(tmp_path / "back" / name) == digest(tmp_path / "tree" / name)
    assert adb("shell", f"rm -r '{TMP}/tree here'").returncode == 0


def test_adb_keeps_times_and_gives_everybody_the_owners_rights(adb, device, tmp_path):
    for mode, wanted in ((0o640, 0o666), (0o700, 0o777), (0o444, 0o444)):
        path = noise_file(tmp_path / f"{mode:o}", 10)
        path.chmod(mode)
        os.utime(path, (1_000_000_000, 1_500_000_000))
        adb("push", str(path), f"{TMP}/{mode:o}")
        found = device.phone.path(f"{TMP}/{mode:o}").stat()
        assert (found.st_mode & 0o777, found.st_mtime, found.st_uid) == (wanted, 1_500_000_000, 2000)


def test_adb_says_why_a_file_cannot_be_moved(adb, tmp_path):
    small = noise_file(tmp_path / "small", 10)
    missing = adb("pull", f"{TMP}/missing", str(tmp_path / "missing"))
    assert b"No such file or directory" in said_by(missing)
    assert not (tmp_path / "missing").exists()
    for target, reason in (
        ("/system/small", b"remote couldn't create file: Read-only file system"),
        ("/data/small", b"remote couldn't create file: Permission denied"),
        ("/data/new/small", b"remote secure_mkdirs failed: Permission denied"),
    ):
        refused = adb("push", str(small), target)
        assert refused.returncode == 1
        assert reason in said_by(refused)
    assert adb("push", str(small), f"{TMP}/made/on/the/way").returncode == 0


def test_adb_shell_and_adbutils_meet_the_same_errors_by_the_first_protocol(server, device, tmp_path):
    small = noise_file(tmp_path / "small", 10)
    with adb_shell_on(device) as client:
        with pytest.raises(AdbCommandFailureException, match="open failed: No such file or directory"):
            client.pull(f"{TMP}/missing", str(tmp_path / "missing"))
        with pytest.raises(PushFailedError, match="Read-only file system"):
            client.push(str(small), "/system/small")
        assert client.stat(f"{TMP}/missing") == (0, 0, 0)
    phone = adbutils_on(server, device)
    with pytest.raises(adbutils.AdbError, match="open failed: No such file"):
        phone.sync.read_bytes(f"{TMP}/missing")
    assert phone.sync.stat("/data/local").mode == 0o40751


def test_adb_shell_and_adbutils_list_directories(server, device):
    folder = device.phone.path(f"{TMP}/listed")
    folder.mkdir(exist_ok=True)
    (folder / "a").write_text("12345")
    with adb_shell_on(device) as client:
        found = {entry.filename.decode(): entry.size for entry in client.list(f"{TMP}/listed")}
    assert found.keys() == {".", "..", "a"}
    assert found["a"] == 5
    names = [entry.path for entry in adbutils_on(server, device).sync.list(f"{TMP}/listed")]
    assert sorted(names) == [".", "..", "a"]


# Faults


def test_adb_push_fails_when_the_connection_drops_and_works_again_later(server, own, tmp_path):
    phone = own()
    big = noise_file(tmp_path / "big", 20 * MIB)
    phone.faults.drop_after(received=5 * MIB)
    failed = server.run("-s", phone.serial, "push", str(big), f"{TMP}/big")
    assert failed.returncode == 1
    wait_until(lambda: not phone.phone.path(f"{TMP}/big").exists())  # adbd removes what is not complete
    server.wait_for_state(phone.serial, "device")
    assert server.run("-s", phone.serial, "push", str(big), f"{TMP}/big").returncode == 0
    phone.faults.drop_after(sent=5 * MIB)
    assert server.run("-s", phone.serial, "pull", f"{TMP}/big", str(tmp_path / "back")).returncode == 1


def test_adb_command_ends_when_the_connection_drops(server, own):
    phone = own()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(server.run, "-s", phone.serial, "shell", "sleep 30")
        wait_until(lambda: phone.traffic.services == ["shell,v2,raw:sleep 30"])
        phone.drop_connections()
        assert lost(server, running.result(5))


def test_adb_hangs_while_the_device_stalls_and_goes_on_after(server, own):
    phone = own()
    phone.faults.stalled = True
    with pytest.raises(subprocess.TimeoutExpired):
        server.run("-s", phone.serial, "shell", "echo", timeout=1)
    phone.faults.stalled = False
    assert server.run("-s", phone.serial, "shell", "echo here", timeout=10).stdout == b"here\n"


def test_adb_push_is_told_of_a_disk_that_runs_full(server, own, tmp_path):
    big = noise_file(tmp_path / "big", 4 * MIB)
    small_disk = own(Phone(data_bytes=MIB))
    pretended = own()
    pretended.faults.no_space_after(MIB)
    for phone in (small_disk, pretended):
        full = server.run("-s", phone.serial, "push", str(big), f"{TMP}/big")
        assert full.returncode == 1
        assert b"remote write failed: No space left on device" in said_by(full)
        assert not phone.phone.path(f"{TMP}/big").exists()
    done = server.run("-s", small_disk.serial, "shell", f"head -c {2 * MIB} /dev/zero >{TMP}/big")
    assert b"No space left on device" in done.stderr


def test_adb_gets_no_exit_code_with_a_truncated_output(server, own):
    phone = own()
    phone.faults.truncate_output_after(1000)
    cut = server.run("-s", phone.serial, "shell", "head -c 5000 /dev/zero; exit 0")
    assert len(cut.stdout) < 1000
    assert lost(server, cut)
    assert server.run("-s", phone.serial, "shell", "echo whole").stdout == b"whole\n"


def test_adb_pushes_and_pulls_over_a_slow_link(server, own, tmp_path):
    phone = own()
    phone.faults.slow_link(bytes_per_s=2e6, piece_bytes=4096)
    phone.drop_connections()
    wait_until(lambda: phone.traffic.connections == 2)
    server.wait_for_state(phone.serial, "device")
    some = noise_file(tmp_path / "some", MIB)
    assert server.run("-s", phone.serial, "push", str(some), f"{TMP}/some").returncode == 0
    assert server.run("-s", phone.serial, "pull", f"{TMP}/some", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back") == digest(some)


def test_adb_shell_forgets_what_the_socket_of_a_slow_link_did_not_take_at_once(own, tmp_path):
    phone = own()
    phone.faults.slow_link(bytes_per_s=4e6, piece_bytes=4096)
    some = noise_file(tmp_path / "some", MIB)
    with pytest.raises(TcpTimeoutException), adb_shell_on(phone) as client:
        client.push(str(some), f"{TMP}/some", transport_timeout_s=1, read_timeout_s=1)
    assert phone.traffic.bytes_received < MIB


def test_adb_sees_a_device_that_answers_nothing_as_offline(server, own):
    phone = own()
    phone.faults.offline = True
    phone.drop_connections()
    server.wait_for_state(phone.serial, "offline")
    assert b"device offline" in server.run("-s", phone.serial, "shell", "true").stderr
    phone.faults.offline = False
    phone.drop_connections()
    wait_until(lambda: server.state(phone.serial) == "device")


def test_adb_finds_files_and_another_boot_id_after_a_reboot(server, own):
    phone = own()

    def shell(command):
        return server.run("-s", phone.serial, "shell", command).stdout

    before = shell(f"echo kept >{TMP}/kept; sleep 3602 >/dev/null 2>&1 & cat /proc/sys/kernel/random/boot_id")
    assert server.run("-s", phone.serial, "reboot").returncode == 0
    server.wait_for_state(phone.serial, "offline")
    wait_until(lambda: server.state(phone.serial) == "device", timeout_s=20)
    assert shell(f"cat {TMP}/kept") == b"kept\n"
    assert re.fullmatch(rb"[0-9a-f-]{36}\n", before)
    assert shell("cat /proc/sys/kernel/random/boot_id") != before
    assert shell("pgrep sleep") == b""


# Android


def test_adb_on_android_14_reads_what_the_phone_is_and_how_it_feels(adb):
    def shell(command):
        return adb("shell", command).stdout.decode()

    assert shell("getprop ro.product.model; getprop ro.build.version.sdk; getprop none") == "Pixel 7\n34\n\n"
    assert "[ro.soc.model]: [GS201]\n" in shell("getprop")
    assert "  level: 84\n" in shell("dumpsys battery")
    assert "HAL Ready: true\n" in shell("dumpsys thermalservice")
    assert shell("cat /sys/class/thermal/thermal_zone0/type") == "BIG\n"
    assert "Permission denied" in shell("cat /sys/class/thermal/thermal_zone5/temp 2>&1")
    assert shell("cat /sys/devices/system/cpu/cpu7/cpufreq/cpuinfo_max_freq") == "2850000\n"
    assert shell("grep -c 0xd05 /proc/cpuinfo") == "4\n"
    assert "load average" in shell("uptime")


def test_adb_keeps_the_screen_on_and_puts_it_back(adb):
    def shell(command):
        return adb("shell", command).stdout.decode()

    setting = "settings get global stay_on_while_plugged_in"
    assert shell(setting) == "0\n"
    assert shell(f"input keyevent KEYCODE_SLEEP; svc power stayon true; {setting}") == "15\n"
    power = shell("dumpsys power")
    assert "mWakefulness=Awake\n" in power
    assert "mStayOn=true\n" in power
    assert shell(f"settings put global stay_on_while_plugged_in 0; {setting}") == "0\n"


def test_adb_on_android_9_has_no_thermalservice_and_lists_by_the_first_protocol(server, own, tmp_path):
    phone = own(Phone("android9"))
    done = server.run("-s", phone.serial, "shell", "getprop ro.build.version.sdk; dumpsys thermalservice")
    assert (done.returncode, done.stdout) == (0, b"28\n")
    assert done.stderr == b"Can't find service: thermalservice\n"
    (tmp_path / "tree").mkdir()
    noise_file(tmp_path / "tree/file", 70_000)
    assert server.run("-s", phone.serial, "push", str(tmp_path / "tree"), TMP).returncode == 0
    assert server.run("-s", phone.serial, "pull", f"{TMP}/tree", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back/file") == digest(tmp_path / "tree/file")


def test_adb_on_an_old_adbd_goes_without_the_shell_protocol_and_with_checksums(server, own, tmp_path):
    phone = own(features=(), version=VERSION_CHECKSUMS, max_payload=4096)
    done = server.run("-s", phone.serial, "shell", "echo out; exit 7")
    assert (done.returncode, done.stdout) == (0, b"out\n")
    some = noise_file(tmp_path / "some", MIB)
    assert server.run("-s", phone.serial, "push", str(some), f"{TMP}/some").returncode == 0
    assert server.run("-s", phone.serial, "pull", f"{TMP}/some", str(tmp_path / "back")).returncode == 0
    assert digest(tmp_path / "back") == digest(some)


def test_adb_pins_only_to_cores_the_phone_has(adb):
    assert adb("shell", "taskset c0 echo pinned").stdout == b"pinned\n"
    refused = adb("shell", "taskset 100 echo pinned")
    assert refused.returncode == 1
    assert b"Invalid argument" in refused.stderr


def test_adb_misses_commands_that_are_hidden(server, own):
    phone = own(Phone(hidden={"taskset", "sha256sum"}))
    for command in ("taskset", "sha256sum", "toybox sha256sum"):
        assert server.run("-s", phone.serial, "shell", command).returncode == 127


def test_adb_can_run_programs_from_data_and_not_from_the_sdcard(adb):
    assert adb("shell", f"cp /usr/bin/true {TMP}/true && chmod 755 {TMP}/true && {TMP}/true").returncode == 0
    denied = adb("shell", "cp /usr/bin/true /sdcard/true && /sdcard/true")
    assert denied.returncode == 126
    assert b"Permission denied" in denied.stderr


def test_adb_runs_aarch64_programs_on_the_arm_phone(server, own, tmp_path):
    if lacking := ArmPhone.missing():
        pytest.skip(f"the arm phone needs {lacking} (see tests/setup.sh)")
    phone = own(ArmPhone())
    said = server.run("-s", phone.serial, "shell", "uname -m; id -u; getprop ro.product.model; exit 7")
    assert (said.returncode, said.stdout) == (7, b"aarch64\n2000\nPixel 7\n")
    some = noise_file(tmp_path / "some", MIB)
    assert server.run("-s", phone.serial, "push", str(some), f"{TMP}/some").returncode == 0
    assert digest(phone.phone.path(f"{TMP}/some")) == digest(some)


# The peer itself


def test_the_adb_device_counts_what_clients_ask_for(own):
    phone = own()
    phone.traffic.clear()
    with adb_shell_on(phone) as client:
        client.shell("echo one")
        client.shell("echo two")
    assert phone.traffic.services == ["shell:echo one", "shell:echo two"]
    assert phone.traffic.received["OPEN"] == 2
    assert phone.traffic.bytes_received > 6 * HEADER.size


@pytest.mark.parametrize(
    "message",
    [
        HEADER.pack(b"CNXN", VERSION, MIB, 0, 0, 0),
        HEADER.pack(b"CNXN", VERSION, MIB, 2 * MIB, 0, int.from_bytes(b"CNXN", "little") ^ 0xFFFFFFFF),
        HEADER.pack(b"OPEN", 1, 0, 0, 0, int.from_bytes(b"OPEN", "little") ^ 0xFFFFFFFF),
    ],
    ids=["magic", "length", "order"],
)
def test_the_adb_device_hangs_up_on_whoever_breaks_the_protocol(message):
    with AdbDevice() as device, socket.create_connection((device.host, device.port)) as client:
        client.sendall(message)
        assert client.recv(1) == b""
        wait_until(lambda: len(device.traffic.errors) == 1)


def test_the_adb_device_leaves_nothing_behind():
    with AdbDevice() as device:
        with adb_shell_on(device) as client:
            client.shell("sleep 3603 >/dev/null 2>&1 &")
        private = device.phone.private
    assert not private.exists()
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    assert "sleep 3603" not in lines
    assert private.name not in lines
    assert private.name not in Path("/proc/self/mountinfo").read_text()
