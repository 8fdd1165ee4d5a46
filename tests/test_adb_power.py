"""A phone's screen is kept on while it is open for measuring, and its setting put back whatever happens."""

import logging

import pytest
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer

from devices.adb.android import parse_screen
from devices.adb.power import StayOn
from devices.base import TransientDeviceError
from devices.inventory import find_device
from harness.schedule import retried

SETTING = "stay_on_while_plugged_in"
BASE = 'driver = "adb"\nserial = "{}"\nserver_port = {}\npatience_s = 20\n{}\n'

on_a_phone = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with AdbServer(tmp_path_factory.mktemp("adb"), GOOGLE_ADB) as started:
        yield started


@pytest.fixture(params=["android14", "android9"])
def phone(request):
    with AdbDevice(Phone(request.param)) as started:
        yield started


@pytest.fixture
def pixel7():
    with AdbDevice(Phone()) as started:
        yield started


@pytest.fixture
def described(server, tmp_path):
    """A device of a file, not opened."""

    def describe(phone, more=""):
        (tmp_path / "pixel.toml").write_text(BASE.format(phone.serial, server.port, more))
        return find_device("pixel", [tmp_path], lock_timeout_s=2.0)

    return describe


def settings_file(phone):
    return phone.phone.path("/data/system/settings_global")


def setting(phone):
    """What `settings get` would say on the phone."""
    lines = dict(line.split("=", 1) for line in settings_file(phone).read_text().splitlines())
    return lines.get(SETTING, "null")


def choose(phone, value):
    """What the phone's owner has chosen; None leaves the setting out."""
    kept = [line for line in settings_file(phone).read_text().splitlines() if SETTING not in line]
    chosen = [] if value is None else [f"{SETTING}={value}"]
    settings_file(phone).write_text("".join(f"{line}\n" for line in [*kept, *chosen]))


def fall_asleep(phone):
    phone.phone.path("/data/system/wakefulness").write_text("Asleep\n")


def left(phone):
    return phone.phone.path("/data/local/tmp/pocketbench/screen.before").exists()


@on_a_phone
@pytest.mark.parametrize("before", ["0", "2", "7", None])
def test_a_screen_is_kept_on_while_open_and_put_back(described, phone, before):
    choose(phone, before)
    fall_asleep(phone)
    device = described(phone)
    assert device.telemetry().screen_on is False
    with device:
        assert setting(phone) == str(phone.phone.release.plugged_any)
        assert device.telemetry().screen_on is True
    assert setting(phone) == (before or "null")
    assert not left(phone)


@on_a_phone
def test_a_device_file_may_leave_the_screen_alone(described, pixel7):
    choose(pixel7, "0")
    fall_asleep(pixel7)
    with described(pixel7, "stay_on = false") as device:
        assert setting(pixel7) == "0"
        assert device.telemetry().screen_on is False


@on_a_phone
def test_opening_and_closing_take_one_round_trip_more_for_the_screen(described, pixel7):
    counts = []
    for more in ("stay_on = false", ""):
        device = described(pixel7, more)
        device.reach()
        pixel7.traffic.clear()
        device.open()
        opening = len(pixel7.traffic.services)
        device.close()
        counts.append((opening, len(pixel7.traffic.services) - opening))
    without, kept = counts
    assert kept == (without[0] + 1, without[1] + 1)


@on_a_phone
@pytest.mark.parametrize("more", ["", "stay_on = false"])
def test_what_a_session_that_died_left_is_put_back_by_the_next_even_over_a_reboot(described, pixel7, more):
    choose(pixel7, None)
    died = described(pixel7)
    died.open()
    died.transport.close()  # and no word more
    pixel7.reboot()
    assert setting(pixel7) == "15"
    following = described(pixel7, more)
    retried(following.open, attempts=6)  # the adb server takes a while to see that it is back
    following.close()
    assert setting(pixel7) == "null"
    assert not left(pixel7)


@on_a_phone
def test_a_lost_connection_does_not_keep_the_screen_from_being_put_back(described, pixel7):
    choose(pixel7, "0")
    with described(pixel7) as device:
        assert setting(pixel7) == "15"
        pixel7.faults.offline = True  # or the server would be there again before we look
        pixel7.drop_connections()
        assert _is_lost(device)
        pixel7.faults.offline = False
        pixel7.drop_connections()
    assert setting(pixel7) == "0"


@on_a_phone
def test_a_connection_that_nobody_knew_was_lost_is_made_again_to_put_the_screen_back(described, pixel7):
    choose(pixel7, "0")
    with described(pixel7):
        pixel7.drop_connections()
    assert setting(pixel7) == "0"


@on_a_phone
def test_a_phone_that_reboots_while_open_is_kept_on_again(described, pixel7):
    choose(pixel7, "0")
    with described(pixel7) as device:
        pixel7.power_off()
        assert _is_lost(device)
        pixel7.power_on()
        fall_asleep(pixel7)
        device.run(["true"])
        assert device.telemetry().screen_on is True
    assert setting(pixel7) == "0"


@on_a_phone
def test_what_the_owner_changes_meanwhile_stays_as_they_changed_it(described, pixel7):
    choose(pixel7, "0")
    with described(pixel7):
        choose(pixel7, "1")
    assert setting(pixel7) == "1"
    assert not left(pixel7)


@on_a_phone
@pytest.mark.parametrize("hidden", ["svc", "settings"])
def test_a_phone_without_the_commands_is_measured_all_the_same(server, described, caplog, hidden):
    with AdbDevice(Phone(hidden=(hidden,))) as phone:
        with caplog.at_level(logging.WARNING), described(phone) as device:
            assert device.run(["echo", "fine"]).stdout == b"fine\n"
        assert f"pixel: its screen stays as it is: it has no {hidden}, as Android has" in caplog.text


@on_a_phone
def test_a_phone_that_refuses_is_told_of_and_measured(described, pixel7, caplog):
    choose(pixel7, "0")
    program = pixel7.phone.private / "system/bin/svc"
    program.write_text("#!/bin/sh\necho 'java.lang.SecurityException: not allowed' >&2\nexit 1\n")
    with caplog.at_level(logging.WARNING), described(pixel7) as device:
        assert device.run(["echo", "fine"]).stdout == b"fine\n"
    assert "svc power stayon true has no effect (java.lang.SecurityException: not allowed)" in caplog.text
    assert setting(pixel7) == "0"
    assert not left(pixel7)


@on_a_phone
def test_a_setting_that_cannot_be_put_back_is_told_and_tried_again_by_the_next(described, pixel7, caplog):
    choose(pixel7, "0")
    program = pixel7.phone.private / "system/bin/settings"
    working = program.read_text()
    device = described(pixel7)
    device.open()
    program.write_text(working.replace("put)", "put) echo refused >&2; exit 1", 1))
    with caplog.at_level(logging.WARNING):
        device.close()
    assert "its screen could not be put back: stay_on_while_plugged_in stays at 15" in caplog.text
    assert left(pixel7)
    program.write_text(working)
    with described(pixel7, "stay_on = false"):
        pass
    assert setting(pixel7) == "0"


@on_a_phone
def test_a_setting_that_reads_as_rubbish_is_not_touched(described, pixel7):
    choose(pixel7, "maybe; id")
    with described(pixel7) as device:
        reason = StayOn(device.shell, device.workdir, wanted=True).set()
    assert "cannot be read: maybe; id" in reason
    assert setting(pixel7) == "maybe; id"


@on_a_phone
def test_a_service_that_does_not_answer_leaves_the_screen_unknown(described, pixel7):
    device = described(pixel7)
    for said in (None, "", "Permission Denial: can't dump PowerManager\n"):
        pixel7.phone.say("power", said)
        telemetry = device.telemetry()
        assert telemetry.screen_on is None
        assert telemetry.battery_percent == 84.0
    device.close()


def _is_lost(device):
    """Whether a command found that the connection is gone."""
    try:
        device.transport.execute("true", timeout_s=10)
    except TransientDeviceError:
        return True
    return False


@pytest.mark.parametrize(
    ("said", "screen_on"),
    [
        ("  mWakefulness=Awake\n", True),
        ("  mWakefulness=Dreaming\n", True),
        ("  mWakefulness=Dozing\n", False),
        ("  mWakefulness=Asleep\r\n", False),
        ("  mWakefulness=Awake\nDisplay Power: state=OFF\n", False),
        ("  mWakefulness=Dozing\nDisplay Power: state=DOZE_SUSPEND\n", False),
        ("  mWakefulness=Asleep\nDisplay Power: state=ON\n", True),
        ("  mWakefulness=Asleep\nDisplay Power: state=UNKNOWN\n", False),
        ("  mWakefulness=Confused\n", None),
        ("  mWakefulnessChanging=false\n", None),
        ("", None),
    ],
)
def test_the_display_s_state_counts_and_else_whether_the_phone_is_awake(said, screen_on):
    assert parse_screen(said) is screen_on
