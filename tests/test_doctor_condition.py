"""The doctor on what measuring needs: clock, temperature, governor, throttling."""

import subprocess
from pathlib import Path

import pytest
from peers.doctor import examined, with_sshd
from peers.sshd import Sshd

from devices.checks import condition
from devices.checks.base import Patient
from devices.telemetry import Telemetry

pytest_plugins = ["peers.doctor_fixtures", "peers.fixtures"]

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


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
    monkeypatch.setattr("devices.linux.telemetry.parse_temperatures", lambda files: {})
    thermal = examined(device)["thermal"]
    assert (thermal.ok, thermal.found) == (None, "no sensor can be read")
    assert "cannot be seen" in thermal.advice
