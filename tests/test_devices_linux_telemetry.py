"""Temperatures, governors, batteries and throttle flags, as the kernel's files show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linux_trees import CPU, PI_4, POWER, THERMAL, plant, telemetry_of

from devices.linux import (
    celsius,
    is_throttled,
    parse_battery,
    parse_get_throttled,
    parse_temperatures,
    read_telemetry_files,
)


def test_a_board_s_tree_gives_all_its_telemetry(tmp_path):
    telemetry = telemetry_of(read_telemetry_files(plant(tmp_path, PI_4)))
    assert telemetry.temperatures_celsius == {"cpu-thermal": 48.686}
    assert telemetry.hottest_celsius == 48.686
    assert telemetry.frequencies_khz == {f"cpu{core}": 1_500_000 for core in range(4)}
    assert telemetry.governor == "ondemand"
    assert telemetry.throttled is True
    assert telemetry.throttle_flags == (
        "under_voltage",
        "throttled",
        "under_voltage_occurred",
        "throttled_occurred",
    )
    assert telemetry.load_average == 0.52
    assert telemetry.memory_available_bytes == 3_390_112 * 1024
    assert telemetry.oom_kills == 2
    assert (telemetry.battery_percent, telemetry.charging) == (None, None)


def test_a_sensor_that_cannot_be_read_is_left_out(tmp_path):
    plant(tmp_path, PI_4)
    (tmp_path / THERMAL / "thermal_zone1" / "temp").mkdir(
        parents=True
    )  # reading it is an error, even to root
    assert telemetry_of(read_telemetry_files(tmp_path)).temperatures_celsius == {"cpu-thermal": 48.686}


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (48_686, 48.686),  # millidegrees, the kernel's unit
        (412, 41.2),  # tenths
        (41, 41.0),  # degrees
        (-5_000, -5.0),
        (0, None),  # a sensor that is off
        (-40_000, None),
        (-274_000, None),  # no reading, as some drivers say it
        (200_000, None),
        (2_147_483_647, None),
    ],
)
def test_temperatures_come_out_in_degrees_whatever_their_unit(reading, expected):
    assert celsius(reading) == expected


@given(st.integers(min_value=1_501, max_value=149_999))
def test_every_plausible_millidegree_is_read_as_one(reading):
    assert celsius(reading) == reading / 1000


def test_zones_that_share_a_type_are_told_apart():
    files = {}
    for zone, (kind, value) in enumerate([("cpu-1", "40000"), ("cpu-1", "50000"), ("gpu", "45")]):
        files[f"{THERMAL}/thermal_zone{zone}/type"] = f"{kind}\n"
        files[f"{THERMAL}/thermal_zone{zone}/temp"] = f"{value}\n"
    assert parse_temperatures(files) == {"cpu-1 0": 40.0, "cpu-1 1": 50.0, "gpu": 45.0}


def test_only_sensors_in_the_cpu_are_taken_from_hwmon(tmp_path):
    hwmon = "sys/class/hwmon"
    plant(
        tmp_path,
        {
            f"{hwmon}/hwmon0/name": "nvme\n",
            f"{hwmon}/hwmon0/temp1_input": "70850\n",
            f"{hwmon}/hwmon1/name": "k10temp\n",
            f"{hwmon}/hwmon1/temp1_input": "51250\n",
            f"{hwmon}/hwmon1/temp1_label": "Tctl\n",
            f"{hwmon}/hwmon1/temp3_input": "49000\n",
        },
    )
    readings = telemetry_of(read_telemetry_files(tmp_path)).temperatures_celsius
    assert readings == {"k10temp Tctl": 51.25, "k10temp temp3": 49.0}


def test_governors_that_differ_are_all_named():
    files = {
        f"{CPU}/cpu{core}/cpufreq/scaling_governor": f"{governor}\n"
        for core, governor in enumerate(["schedutil", "schedutil", "performance"])
    }
    assert telemetry_of(files).governor == "performance,schedutil"


@pytest.mark.parametrize(
    ("status", "charging"),
    [("Charging", True), ("Discharging", False), ("Not charging", False), ("Full", False), ("Unknown", None)],
)
def test_the_battery_s_level_and_whether_it_charges_are_read(status, charging):
    files = {
        f"{POWER}/AC/type": "Mains\n",
        f"{POWER}/battery/type": "Battery\n",
        f"{POWER}/battery/capacity": "87\n",
        f"{POWER}/battery/status": f"{status}\n",
    }
    assert parse_battery(files) == (87.0, charging)


def test_the_battery_of_a_mouse_is_not_the_device_s():
    mouse = {"type": "Battery\n", "scope": "Device\n", "capacity": "10\n", "status": "Discharging\n"}
    assert parse_battery({f"{POWER}/mouse/{key}": value for key, value in mouse.items()}) == (None, None)


def test_throttle_flags_tell_now_from_the_past():
    assert parse_get_throttled("throttled=0x0\n") == ()
    assert is_throttled(()) is False
    past = parse_get_throttled("throttled=0x20000\n")
    assert past == ("frequency_capped_occurred",)
    assert is_throttled(past) is False
    assert is_throttled(parse_get_throttled("8")) is True
    assert parse_get_throttled("VCHI initialization failed") is None
    assert is_throttled(None) is None
