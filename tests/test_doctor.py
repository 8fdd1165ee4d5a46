"""The doctor on this machine and on a real SSH server, healthy and with one thing wrong at a time."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from peers.sshd import Sshd, free_port, make_key

from devices.checks import condition
from devices.checks.base import Patient
from devices.doctor import diagnose
from devices.inventory import find_device
from devices.local import LocalDevice
from devices.telemetry import Telemetry

pytest_plugins = ["peers.fixtures"]

STEPS = [
    "reach",
    "authenticate",
    "write",
    "execute",
    "space",
    "tools",
    "python",
    "clock",
    "thermal",
    "governor",
    "pinning",
    "lock",
]
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

with_sshd = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one")


def examined(device):
    return {check.name: check for check in diagnose(device)}


def pocketbench(*arguments):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / ".bashrc").write_text("echo Welcome to board\n")
    return folder


@pytest.fixture(scope="module")
def sshd(tmp_path_factory, home):
    with Sshd(tmp_path_factory.mktemp("sshd"), environment={"HOME": str(home)}) as server:
        yield server


@pytest.fixture
def inventory(tmp_path):
    folder = tmp_path / "inventory"
    folder.mkdir()
    return folder


@pytest.fixture
def described(inventory, sshd):
    """Writes `NAME.toml` for the server, with changed or further lines."""

    def write(name="board", *, server=sshd, **changed):
        said = {
            "driver": "ssh",
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "identity_file": str(server.identity_file),
            "known_hosts_file": str(server.known_hosts),
            **changed,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in said.items()]
        (inventory / f"{name}.toml").write_text("\n".join(lines) + "\n")
        return find_device(name, [inventory], lock_timeout_s=0)

    return write


def test_this_machine_is_examined_without_reaching_for_it(tmp_path):
    device = LocalDevice("here", str(tmp_path / "work dir"), lock_timeout_s=0)
    checks = examined(device)
    assert list(checks) == STEPS
    assert not [check for check in checks.values() if check.ok is False]
    assert checks["write"].found == str(tmp_path / "work dir")
    assert [checks[name].ok for name in ("reach", "authenticate", "tools", "clock")] == [None] * 4
    assert checks["lock"].found == "free"
    assert list((tmp_path / "work dir").iterdir()) == []


def test_cpus_that_are_not_there_are_told_with_those_that_are(tmp_path):
    checks = examined(LocalDevice("here", str(tmp_path), cpus=(0, 4000), lock_timeout_s=0))
    assert checks["pinning"].ok is False
    assert "0,4000" in checks["pinning"].found
    assert "`cpus`" in checks["pinning"].advice
    assert "not tried" in checks["lock"].found


def test_a_machine_that_is_held_is_told_with_its_holder(tmp_path):
    with LocalDevice("other", str(tmp_path)):
        lock = examined(LocalDevice("here", str(tmp_path), lock_timeout_s=0))["lock"]
    assert lock.ok is None
    assert "'other'" in lock.found
    assert lock.advice


@with_sshd
def test_a_healthy_device_over_ssh_passes_every_step_and_keeps_only_its_directory(described, tmp_path):
    work = tmp_path / 'it\'s a "work" dir'
    device = described(workdir=str(work), cpus="0")
    checks = examined(device)
    assert list(checks) == STEPS
    assert not [check for check in checks.values() if check.ok is False]
    assert checks["write"].found == str(work)
    for name in ("reach", "authenticate", "write", "execute", "tools", "python", "clock", "pinning", "lock"):
        assert checks[name].ok, checks[name]
    assert [path.name for path in work.iterdir() if not path.is_dir()] == []
    assert not device.transport.connected


@with_sshd
def test_a_device_over_ssh_that_is_held_is_told_with_its_holder(described):
    with described("other"):
        lock = examined(described("board"))["lock"]
    assert lock.ok is None
    assert "'other'" in f"{lock.found} {lock.advice}"


@pytest.mark.parametrize(("user", "advice"), [("root", "device's file"), ("bench", "sudo -n tee")])
def test_a_board_over_ssh_whose_frequency_follows_the_load_is_told_what_to_do(board, described, user, advice):
    checks = examined(described(server=board, user=user))
    assert checks["thermal"].found == "cpu-thermal 45.2 °C"
    assert (checks["governor"].ok, checks["governor"].found) == (None, "ondemand")
    assert advice in checks["governor"].advice
    assert checks["python"].found == "3.11 (/usr/bin/python3.11) is used first; python3 is 3.11.2"


@pytest.mark.parametrize(
    ("user", "wanted", "ok", "found"),
    [
        ("root", "performance", True, "ondemand; performance while measuring"),
        ("root", "ondemand", True, "ondemand"),
        ("root", "performnace", False, "ondemand; there is no performnace"),
        ("bench", "performance", None, "ondemand; this user may not set performance"),
    ],
)
def test_a_governor_of_the_file_over_ssh_is_good_where_it_may_be_set(
    board, described, user, wanted, ok, found
):
    check = examined(described(server=board, user=user, governor=wanted))["governor"]
    assert (check.ok, check.found) == (ok, found)
    assert bool(check.advice) is not ok


@pytest.fixture
def not_ours(tmp_path, monkeypatch):
    """Governors of a machine where this user may not write; root is hard to refuse elsewhere."""
    folder = tmp_path / "cpus/cpu0/cpufreq"
    folder.mkdir(parents=True)
    (folder / "scaling_governor").write_text("ondemand\n")
    (folder / "scaling_available_governors").write_text("ondemand performance\n")
    subprocess.run(["mount", "--bind", tmp_path / "cpus", tmp_path / "cpus"], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "cpus"], check=True)
    files = f"{tmp_path}/cpus/cpu[0-9]*/cpufreq/scaling_governor"
    monkeypatch.setattr(condition, "GOVERNORS", files)
    yield folder / "scaling_governor"
    subprocess.run(["umount", tmp_path / "cpus"], check=True)


@with_sshd
@pytest.mark.parametrize(("line", "ok"), [("tee", True), ("reboot", None)])
@pytest.mark.parametrize("wanted", ["performance", None])
def test_a_sudoers_line_for_tee_over_ssh_is_right_enough(described, tmp_path, not_ours, line, ok, wanted):
    """As sudo does it: no password for this command, one for every other."""
    program = tmp_path / "bin/sudo"
    program.parent.mkdir()
    allowed = f'[ "$1 $2 $3 $4" = "-n -l {line} {not_ours}" ]'
    program.write_text(f"#!/bin/sh\n{allowed} || {{ echo a password is required >&2; exit 1; }}\n")
    program.chmod(0o755)
    with Sshd(tmp_path / "pi", environment={"PATH": f"{program.parent}:/usr/bin:/bin"}) as server:
        device = described(server=server, **({"governor": wanted} if wanted else {}))
        device.telemetry = lambda: Telemetry(at="", governor="ondemand")  # this machine has no cpufreq
        device.reach()
        check = condition.governor(Patient(device, lambda facts: facts.interpreters))
        device.close()
    if wanted:
        assert check.ok is ok
    advised = "device's file" if ok and not wanted else "" if ok else "sudo -n tee"
    assert advised in check.advice
    assert bool(check.advice) is bool(advised)


@with_sshd
@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed (sh tests/setup.sh)")
def test_a_board_over_ssh_whose_hash_is_busybox_s_lacks_nothing(described, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    names = ("sh", "cat", "df", "date", "head", "rm", "chmod", "mkdir", "uname", "grep", "sleep", "tar")
    for name in (*names, "busybox", "flock"):
        (programs / name).symlink_to(shutil.which(name))
    with Sshd(tmp_path / "small", environment={"PATH": str(programs)}) as server:
        tools = examined(described(server=server))["tools"]
    assert (tools.ok, tools.found) == (True, "tar, flock, busybox sha256sum")


@with_sshd
def test_a_workdir_over_ssh_that_begins_with_a_tilde_is_in_the_home_directory_there(described, home):
    assert examined(described(workdir="~/pocket bench"))["write"].found == str(home / "pocket bench")


@with_sshd
def test_a_refused_key_over_ssh_ends_the_examination(described, tmp_path):
    wrong = make_key(tmp_path / "id_wrong")
    reach, authenticate = diagnose(described(identity_file=str(wrong)))
    assert (reach.name, reach.ok) == ("reach", True)
    assert (authenticate.name, authenticate.ok) == ("authenticate", False)
    assert "does not take any of our keys" in authenticate.found
    assert "ssh-copy-id" in authenticate.advice


@with_sshd
def test_an_unknown_host_key_over_ssh_is_told_with_the_command_that_accepts_it(described, tmp_path):
    reach, authenticate = diagnose(described(known_hosts_file=str(tmp_path / "none")))
    assert reach.ok
    assert authenticate.ok is False
    assert "accept-new" in f"{authenticate.found} {authenticate.advice}"


@with_sshd
def test_a_port_nobody_listens_on_over_ssh_is_unreachable(described):
    port = free_port()
    (reach,) = diagnose(described(port=port))
    assert (reach.name, reach.ok) == ("reach", False)
    assert f"127.0.0.1:{port}" in reach.found
    assert "is it on" in reach.advice


@with_sshd
def test_a_host_over_ssh_that_has_no_address_is_unreachable(described):
    (reach,) = diagnose(described(host="no-such-board.invalid"))
    assert (reach.name, reach.ok) == ("reach", False)
    assert "`host`" in reach.advice


@with_sshd
def test_a_server_over_ssh_that_takes_no_commands_is_told_once(tmp_path, described):
    with Sshd(tmp_path / "forced", options=("ForceCommand echo only menus here",)) as server:
        checks = examined(described(server=server))
    assert list(checks) == ["reach", "authenticate", "write"]
    assert checks["write"].ok is False
    assert "/bin/sh" in checks["write"].advice


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small tmpfs with options, where a device of the file's may have its work directory."""
    places = []

    def mount(options):
        place = tmp_path / f"mount {len(places)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        subprocess.run(command, check=True, capture_output=True)
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@with_sshd
def test_a_read_only_workdir_over_ssh_is_told_and_what_needs_it_is_not_tried(described, mounted):
    checks = examined(described(workdir=str(mounted("ro") / "work")))
    assert checks["write"].ok is False
    assert "Read-only file system" in checks["write"].found
    assert "`workdir`" in checks["write"].advice
    assert (checks["execute"].ok, checks["space"].ok) == (None, None)
    assert checks["clock"].ok
    assert "not tried" in checks["lock"].found


@with_sshd
def test_a_noexec_workdir_over_ssh_is_told_with_its_mount(described, mounted):
    place = mounted("noexec,size=8m")
    checks = examined(described(workdir=str(place)))
    assert checks["write"].ok
    assert checks["execute"].ok is False
    assert "mounted noexec" in checks["execute"].found
    assert "`workdir`" in checks["execute"].advice


@with_sshd
def test_a_small_disk_over_ssh_is_doubtful_and_a_full_one_fails(described, mounted):
    place = mounted("size=4m")
    space = examined(described(workdir=str(place)))["space"]
    assert space.ok is None
    assert str(place) in space.found
    assert "make room" in space.advice
    (place / "filler").write_bytes(bytes(7 * 2**19))
    write = examined(described(workdir=str(place)))["write"]
    assert write.ok is False
    assert "no room" in write.found


@with_sshd
@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed (sh tests/setup.sh)")
@pytest.mark.parametrize(("shift", "told"), [("-3d", "behind"), ("+2h", "ahead of")])
def test_a_clock_over_ssh_that_is_far_off_is_doubtful(described, tmp_path, shift, told):
    environment = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": shift}
    with Sshd(tmp_path / "late", environment=environment) as server:
        clock = examined(described(server=server))["clock"]
    assert clock.ok is None
    assert told in clock.found
    assert "set-ntp" in clock.advice


@with_sshd
def test_tools_over_ssh_that_are_missing_are_named(described, tmp_path):
    programs = tmp_path / "few programs"
    programs.mkdir()
    for name in ("sh", "cat", "df", "date", "head", "rm", "chmod", "mkdir", "uname", "grep", "sleep"):
        (programs / name).symlink_to(shutil.which(name))
    with Sshd(tmp_path / "small", environment={"PATH": str(programs)}) as server:
        checks = examined(described(server=server, cpus="0"))
    assert checks["tools"].ok is False
    assert "tar, sha256sum (or openssl), taskset missing" in checks["tools"].found
    assert checks["pinning"].ok is False


@with_sshd
@pytest.mark.parametrize(
    ("answer", "ok", "advice"),
    [
        ("throttled=0x50005", False, "power supply"),
        ("throttled=0x20002", False, "cool it"),
        ("throttled=0x40000", None, "since it booted"),
    ],
)
def test_a_board_over_ssh_that_is_or_was_throttled_is_told_why(described, tmp_path, answer, ok, advice):
    program = tmp_path / "bin/vcgencmd"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {answer}\n")
    program.chmod(0o755)
    with Sshd(tmp_path / "pi", environment={"PATH": f"{program.parent}:/usr/bin:/bin"}) as server:
        thermal = examined(described(server=server))["thermal"]
    assert thermal.ok is ok
    assert advice in thermal.advice


@with_sshd
def test_a_device_over_ssh_without_sensors_is_doubtful(described, monkeypatch):
    device = described()
    monkeypatch.setattr("devices.linux.parse_temperatures", lambda files: {})
    thermal = examined(device)["thermal"]
    assert (thermal.ok, thermal.found) == (None, "no sensor can be read")
    assert "cannot be seen" in thermal.advice


@with_sshd
def test_the_doctor_command_prints_a_line_per_step_over_ssh_and_the_advice_below(
    described, inventory, mounted
):
    described("fine")
    done = pocketbench("doctor", "fine", "--device-dir", inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^[✓!–] (\w+)", done.stdout, re.MULTILINE) == STEPS  # noqa: RUF001
    assert "\x1b" not in done.stdout
    described("broken", workdir=str(mounted("noexec")))
    done = pocketbench("doctor", "broken", "--device-dir", inventory)
    assert done.returncode == 1
    assert re.search(r"^✗ execute .*noexec.*\n {15}set `workdir`", done.stdout, re.MULTILINE)


def test_the_doctor_of_a_device_that_is_not_there_names_the_nearest():
    done = pocketbench("doctor", "locl")
    assert done.returncode == 2
    assert "Did you mean 'local'?" in done.stderr


def rows(printed):
    return {line.split()[0]: line for line in printed.splitlines()}


@with_sshd
def test_the_devices_command_tells_which_answer_over_ssh_and_why_others_do_not(
    described, inventory, tmp_path
):
    port = free_port()
    described("board", description="The [bold]board")
    described("asleep", port=port)
    described("locked", identity_file=str(make_key(tmp_path / "id_wrong")))
    done = pocketbench("devices", "--device-dir", inventory)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert found["local"].split() == ["local", "local", "this", "machine", "This", "machine", "reachable"]
    assert found["board"].rstrip().endswith("reachable")
    assert "The [bold]board" in found["board"]
    assert f"root@127.0.0.1:{port}" in found["asleep"]
    assert "cannot reach" in found["asleep"]
    assert "does not take any of our keys" in found["locked"]


def test_a_wrong_device_file_is_told_in_its_row_and_hides_no_other(inventory):
    (inventory / "bad.toml").write_text('driver = "local"\nworkdri = "/tmp"\n')
    done = pocketbench("devices", "--no-probe", "--device-dir", inventory)
    assert done.returncode == 1
    assert "Did you mean 'workdir'?" in rows(done.stdout)["bad"]
    assert "this machine" in rows(done.stdout)["local"]


@with_sshd
def test_devices_are_listed_without_being_asked_over_ssh(described, inventory):
    described("asleep", port=free_port())
    done = pocketbench("devices", "--no-probe", "--device-dir", inventory)
    assert done.returncode == 0
    assert "asleep" in done.stdout
    assert "cannot reach" not in done.stdout
    assert "reachable" not in done.stdout
