"""The doctor on this machine and on a real SSH server, healthy and with one thing wrong at a time."""

import shutil

import pytest
from peers.doctor import STEPS, examined, with_sshd
from peers.sshd import Sshd, free_port, make_key

from devices.doctor import diagnose
from devices.local import LocalDevice
from devices.remote.tools import NEEDED

pytest_plugins = ["peers.doctor_fixtures"]


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


@with_sshd
@pytest.mark.skipif(shutil.which("busybox") is None, reason="busybox is not installed (sh tests/setup.sh)")
def test_a_board_over_ssh_whose_hash_is_busybox_s_lacks_nothing(described, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in (*NEEDED, "sh", "df", "date", "head", "uname", "busybox", "flock"):
        (programs / name).symlink_to(shutil.which(name))
    with Sshd(tmp_path / "small", environment={"PATH": str(programs)}) as server:
        tools = examined(described(server=server))["tools"]
    assert (tools.ok, tools.found) == (True, "tar, flock, busybox sha256sum")


@with_sshd
def test_a_workdir_over_ssh_that_begins_with_a_tilde_is_in_the_home_directory_there(described, noisy_home):
    assert examined(described(workdir="~/pocket bench"))["write"].found == str(noisy_home / "pocket bench")


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
    assert "does not run sh" in checks["write"].advice


@with_sshd
def test_a_read_only_workdir_over_ssh_is_told_and_what_needs_it_is_not_tried(described, mounted_tmpfs):
    checks = examined(described(workdir=str(mounted_tmpfs("ro") / "work")))
    assert checks["write"].ok is False
    assert "Read-only file system" in checks["write"].found
    assert "`workdir`" in checks["write"].advice
    assert (checks["execute"].ok, checks["space"].ok) == (None, None)
    assert checks["clock"].ok
    assert "not tried" in checks["lock"].found


@with_sshd
def test_a_noexec_workdir_over_ssh_is_told_with_its_mount(described, mounted_tmpfs):
    place = mounted_tmpfs("noexec,size=8m")
    checks = examined(described(workdir=str(place)))
    assert checks["write"].ok
    assert checks["execute"].ok is False
    assert "mounted noexec" in checks["execute"].found
    assert "`workdir`" in checks["execute"].advice


@with_sshd
def test_a_small_disk_over_ssh_is_doubtful_and_a_full_one_fails(described, mounted_tmpfs):
    place = mounted_tmpfs("size=4m")
    space = examined(described(workdir=str(place)))["space"]
    assert space.ok is None
    assert str(place) in space.found
    assert "make room" in space.advice
    (place / "filler").write_bytes(bytes(7 * 2**19))
    write = examined(described(workdir=str(place)))["write"]
    assert write.ok is False
    assert "no room" in write.found


@with_sshd
def test_tools_over_ssh_that_are_missing_are_named(described, tmp_path):
    programs = tmp_path / "few programs"
    programs.mkdir()
    for name in {*NEEDED, "sh", "df", "date", "head", "uname"} - {"tar"}:
        (programs / name).symlink_to(shutil.which(name))
    with Sshd(tmp_path / "small", environment={"PATH": str(programs)}) as server:
        checks = examined(described(server=server, cpus="0"))
    assert checks["tools"].ok is False
    assert "tar, sha256sum (or openssl), taskset missing" in checks["tools"].found
    assert checks["pinning"].ok is False
