"""The governor of a device, set and put back over a real SSH server: one round trip each."""

import subprocess
from pathlib import Path

import pytest
from peers.sshd import Sshd

from devices.remote.governor import Governor
from devices.remote.snapshot import read_telemetry

pytest_plugins = ["peers.fixtures", "peers.noisy_fixtures"]
pytestmark = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one")

BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_board_s_governor_is_set_over_ssh_where_the_kernel_shows_it(board_shell):
    governor = Governor(board_shell, "/tmp/governor.before", "performance")
    assert governor.set() is None
    assert read_telemetry(board_shell).governor == "performance"
    assert governor.put_back() is None
    assert read_telemetry(board_shell).governor == "ondemand"


CHOICES = "conservative ondemand performance\n"


@pytest.fixture
def cpus(tmp_path):
    for number, was in ((0, "ondemand"), (1, "ondemand"), (10, "conservative")):
        folder = tmp_path / f"cpus/cpu{number}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{was}\n")
        (folder / "scaling_available_governors").write_text(CHOICES)
    (tmp_path / "cpus/cpu2").mkdir()  # off line: no cpufreq
    return tmp_path / "cpus"


def governors(cpus):
    return [(cpus / f"cpu{n}/cpufreq/scaling_governor").read_text().strip() for n in (0, 1, 10)]


BEFORE = ["ondemand", "ondemand", "conservative"]


@pytest.fixture
def state(tmp_path):
    return tmp_path / "work 'dir'/governor.before"


@pytest.fixture
def governor(noisy_shell, cpus, state):
    state.parent.mkdir()
    return Governor(noisy_shell, str(state), "performance", root=str(cpus))


def test_a_governor_is_set_over_ssh_and_put_back_in_one_round_trip_each(
    governor, cpus, state, counted_transport
):
    assert governor.set() is None
    assert governors(cpus) == ["performance"] * 3
    assert counted_transport.calls == 1
    assert governor.put_back() is None
    assert governors(cpus) == BEFORE
    assert counted_transport.calls == 2
    assert not state.exists()
    assert governor.put_back() is None


def test_what_a_dead_host_left_set_over_ssh_is_put_back_by_the_next(governor, noisy_shell, cpus, state):
    governor.set()
    following = Governor(noisy_shell, str(state), "conservative", root=str(cpus))
    assert following.set() is None
    assert governors(cpus) == ["conservative"] * 3
    assert following.put_back() is None
    assert governors(cpus) == BEFORE


def test_after_a_reboot_the_values_kept_over_ssh_count_no_more(governor, cpus, state):
    state.write_text("an-earlier-boot\ncpu0 performance\n")
    assert governor.put_back() is None
    assert governors(cpus) == BEFORE
    assert not state.exists()
    governor.set()
    assert state.read_text().split()[0] == BOOT_ID


def test_a_governor_that_is_not_there_is_answered_over_ssh_with_those_that_are(noisy_shell, cpus, state):
    state.parent.mkdir()
    misspelt = Governor(noisy_shell, str(state), "perfomance; id", root=str(cpus))
    assert misspelt.set() == ("no governor 'perfomance; id'; it has: conservative, ondemand, performance")
    assert governors(cpus) == BEFORE
    assert not state.exists()


def test_a_machine_without_cpufreq_says_so_over_ssh(noisy_shell, tmp_path):
    empty = Governor(noisy_shell, str(tmp_path / "state"), "performance", root=str(tmp_path))
    assert "no cpufreq" in empty.set()
    assert empty.put_back() is None


def test_a_governor_that_does_not_take_over_ssh_leaves_all_as_they_were(governor, cpus, state):
    stubborn = cpus / "cpu10/cpufreq/scaling_governor"
    stubborn.unlink()
    stubborn.symlink_to("/dev/null")
    reason = governor.set()
    assert "cpu10" in reason
    assert "root" in reason
    assert governors(cpus)[:2] == BEFORE[:2]


def test_values_that_cannot_be_kept_over_ssh_are_not_changed(noisy_shell, cpus, tmp_path):
    careful = Governor(noisy_shell, str(tmp_path / "nowhere/state"), "performance", root=str(cpus))
    assert "cannot be kept" in careful.set()
    assert governors(cpus) == BEFORE


@pytest.fixture
def read_only(cpus, tmp_path):
    """The same tree where this user cannot write it, root being hard to refuse."""
    view = tmp_path / "view"
    view.mkdir()
    subprocess.run(["mount", "--bind", str(cpus), str(view)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(view)], check=True)
    yield view
    subprocess.run(["umount", str(view)], check=True)


def test_who_may_not_write_the_governor_over_ssh_uses_sudo(noisy_shell, program, cpus, read_only, tmp_path):
    asked = Governor(noisy_shell, str(tmp_path / "state"), "performance", root=str(read_only))
    # sudo's part: it alone may write the tree.
    program("sudo", f'[ "$1 $2" = "-n tee" ] || exit 1; exec tee "{cpus}/${{3#{read_only}/}}"')
    assert asked.set() is None
    assert governors(cpus) == ["performance"] * 3
    assert asked.put_back() is None
    assert governors(cpus) == BEFORE


def test_who_may_not_use_sudo_either_is_told_over_ssh(noisy_shell, program, cpus, read_only, tmp_path):
    program("sudo", "echo 'sudo: a password is required' >&2; exit 1")
    asked = Governor(noisy_shell, str(tmp_path / "state"), "performance", root=str(read_only))
    reason = asked.set()
    assert "cpu0 stays at ondemand" in reason
    assert "a password is required" in reason
    assert "sudoers" in reason
    assert not (tmp_path / "state").exists()
