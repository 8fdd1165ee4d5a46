"""The devices of a run over real SSH servers: asked, opened when needed, given up when they keep failing."""

from peers.ssh_devices import device_on
from peers.sshd import free_port

from devices import DeviceBusyError, DeviceError, Facts, TransientDeviceError
from harness.fleet import GIVE_UP_AFTER, Fleet

pytest_plugins = ["peers.shell_fixtures"]


def test_a_device_that_answers_and_one_that_does_not_are_both_known_over_ssh(own_sshd, tmp_path):
    there, away = device_on(own_sshd, tmp_path / "a"), device_on(own_sshd, tmp_path / "b", port=free_port())
    fleet = Fleet({"there": there, "away": away})
    fleet.ask(["there", "away"])
    assert isinstance(fleet.facts("there"), Facts)
    assert isinstance(fleet.facts("away"), TransientDeviceError)
    assert fleet.known("away") is None
    assert not there.transport.connected, "it may be another process that measures there"
    fleet.close()


def test_a_device_is_opened_once_and_closed_with_the_fleet_over_ssh(own_sshd, tmp_path):
    device = device_on(own_sshd, tmp_path / "a")
    fleet = Fleet({"board": device})
    assert fleet.opened("board") is device
    assert fleet.opened("board") is device
    assert device.run(["true"]).exit_code == 0
    fleet.close()
    assert not device.transport.connected


def test_a_device_that_is_held_is_waited_for_once_over_ssh(own_sshd, tmp_path):
    with device_on(own_sshd, tmp_path / "a"):
        fleet = Fleet({"board": device_on(own_sshd, tmp_path / "b", lock_timeout_s=0.5)})
        refused = fleet.opened("board")
        assert isinstance(refused, DeviceBusyError)
        assert fleet.opened("board") is refused
        fleet.close()


def test_a_device_is_given_up_after_it_failed_so_many_cases_in_a_row():
    fleet = Fleet({})
    failure = DeviceError("board: cannot reach it")
    for _ in range(GIVE_UP_AFTER - 1):
        assert not fleet.count("board", failure)
    assert not fleet.count("board", None)
    given_up = [fleet.count("board", failure) for _ in range(GIVE_UP_AFTER)]
    assert given_up == [False] * (GIVE_UP_AFTER - 1) + [True]
    assert "given up after 3 cases in a row that it failed, the last with: board: cannot" in str(
        fleet.opened("board")
    )
