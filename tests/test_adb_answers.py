"""What is made of the texts that Android's programs print, however odd: properties, battery, temperatures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.adb import android
from devices.adb.android import Battery, Heat, parse_battery, parse_properties, parse_thermal
from devices.facts import Facts
from devices.telemetry import Telemetry

HEALTHY = """IsStatusOverride: false
Thermal Status: 0
Cached temperatures:
	Temperature{mValue=99.0, mType=0, mName=CACHED, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
	Temperature{mValue=42.5, mType=0, mName=BIG, mStatus=0}
Temperature static thresholds from HAL:
	TemperatureThreshold{mType=0, mName=BIG, mHotThrottlingThresholds=[NaN]}
"""
PLUGGED_IN = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  present: true
  level: 84
  scale: 100
  temperature: 287
"""


def test_properties_that_are_empty_unknown_or_of_many_lines_are_not_there():
    said = "[a]: [1]\r\n[b]: []\n[c]: [unknown]\n[d]: [two\nlines]\n[e]: [x]: [y]]\nnoise [f]: [2]\n"
    assert parse_properties(said) == {"a": "1", "e": "x]: [y]"}


@pytest.mark.parametrize(
    ("maker", "model", "named"),
    [
        ("Google", "Pixel 7", "Google Pixel 7"),
        ("OnePlus", "ONEPLUS A6003", "ONEPLUS A6003"),
        ("samsung", "", "samsung"),
        ("", "SM-G991B", "SM-G991B"),
    ],
)
def test_a_model_is_named_with_its_maker_once(maker, model, named):
    said = (
        f"[ro.product.manufacturer]: [{maker}]\n[ro.product.model]: [{model}]\n[ro.build.version.sdk]: [30]\n"
    )
    facts = android.with_properties(Facts(driver="adb"), parse_properties(said))
    assert (facts.model, facts.os, facts.os_version) == (named, "Android", "API 30")


@pytest.mark.parametrize(
    ("properties", "soc"),
    [
        ({"ro.soc.model": "SM8550", "ro.board.platform": "kalama"}, "SM8550"),
        ({"ro.soc.model": "GS101"}, "Tensor"),
        ({"ro.board.platform": "zuma"}, "Tensor G3"),
        ({"ro.board.platform": "mt6893"}, "mt6893"),
        ({}, None),
    ],
)
def test_a_chip_has_the_name_it_is_sold_by_where_that_is_known(properties, soc):
    release = {"ro.build.version.release": "14"}
    assert android.with_properties(Facts(driver="adb"), properties | release).soc == soc


@pytest.mark.parametrize(("abis", "bits"), [("arm64-v8a,armeabi-v7a", 64), ("armeabi-v7a,armeabi", 32)])
def test_a_phone_that_cannot_tell_its_bits_has_those_of_its_programs(abis, bits):
    properties = {"ro.build.version.release": "10", "ro.product.cpu.abilist": abis}
    assert android.with_properties(Facts(driver="adb"), properties).bits == bits


def test_without_properties_nothing_is_taken_for_android():
    linux = Facts(driver="adb", os="Buildroot")
    assert android.with_properties(linux, {}) == linux


def test_a_battery_tells_level_charging_and_temperature():
    assert parse_battery(PLUGGED_IN) == Battery(percent=84.0, charging=True, celsius=28.7)
    assert parse_battery(PLUGGED_IN.replace("\n", "\r\n")) == parse_battery(PLUGGED_IN)
    assert parse_battery(PLUGGED_IN.replace("scale: 100", "scale: 200")).percent == 42.0


@pytest.mark.parametrize(
    ("status", "charging"),
    [("2", True), ("3", False), ("4", False), ("5", False), ("1", True), ("on", True)],
)
def test_a_plug_decides_only_where_the_battery_s_status_is_unknown(status, charging):
    assert parse_battery(PLUGGED_IN.replace("status: 2", f"status: {status}")).charging is charging


def test_a_battery_on_no_plug_of_unknown_status_does_not_charge():
    unplugged = PLUGGED_IN.replace("USB powered: true", "USB powered: false").replace("  status: 2\n", "")
    assert parse_battery(unplugged).charging is False


@pytest.mark.parametrize(
    "said",
    [
        PLUGGED_IN.replace("state:\n", "state:\n  (UPDATES STOPPED -- use 'reset' to restart)\n"),
        PLUGGED_IN.replace("present: true", "present: false"),
        "Can't find service: battery\n",
    ],
    ids=["set by hand", "absent", "no service"],
)
def test_a_battery_that_is_not_read_tells_nothing(said):
    assert parse_battery(said) == Battery()


def test_figures_no_battery_can_have_are_left_out():
    odd = PLUGGED_IN.replace("84", "840").replace("287", "-9999")
    assert parse_battery(odd) == Battery(charging=True)
    assert parse_battery(PLUGGED_IN.replace("100", "0")).percent is None


def test_the_hal_s_current_temperatures_count_and_cached_ones_do_not():
    assert parse_thermal(HEALTHY) == Heat(temperatures_celsius={"BIG": 42.5}, status=0)
    assert parse_thermal(HEALTHY.replace("\n", "\r\n")) == parse_thermal(HEALTHY)


@pytest.mark.parametrize(
    "sensor",
    [
        "mValue=NaN, mType=0, mName=BIG",
        "mValue=-99.9, mType=5, mName=PA",
        "mValue=0.0, mType=4, mName=USB",
        "mValue=3.9, mType=6, mName=battery_voltage",
        "mValue=84.0, mType=8, mName=soc",
        "mValue=41,5, mType=0, mName=BIG",
    ],
)
def test_what_is_no_temperature_is_left_out(sensor):
    said = HEALTHY.replace("mValue=42.5, mType=0, mName=BIG", sensor)
    assert parse_thermal(said) == Heat(status=0)


@pytest.mark.parametrize(
    ("status", "throttled", "flags"),
    [
        ("0", False, ()),
        ("2", False, ()),
        ("3", True, ("thermal_status_severe",)),
        ("6", True, ("thermal_status_shutdown",)),
        ("7", None, ()),
        ("-1", None, ()),
    ],
)
def test_a_phone_is_throttled_from_severe_on(status, throttled, flags):
    heat = parse_thermal(HEALTHY.replace("Status: 0\n", f"Status: {status}\n"))
    assert (heat.throttled, heat.flags) == (throttled, flags)


def test_a_thermal_status_set_by_hand_is_not_believed():
    heat = parse_thermal(HEALTHY.replace("Override: false", "Override: true"))
    assert (heat.status, heat.temperatures_celsius) == (None, {"BIG": 42.5})


def test_what_the_kernel_flags_stays_beside_what_the_phone_flags():
    kernel = Telemetry(at="now", throttled=True, throttle_flags=("under_voltage",))
    both = android.with_services(kernel, Battery(), Heat(status=4))
    assert both.throttle_flags == ("under_voltage", "thermal_status_critical")
    assert android.with_services(kernel, Battery(), Heat(status=0)).throttled is True


@given(
    st.text(), st.sampled_from([HEALTHY, PLUGGED_IN, "[ro.build.version.sdk]: [34]\n"]), st.integers(0, 300)
)
def test_no_answer_however_odd_is_an_error(noise, said, place):
    odd = said[:place] + noise + said[place:]
    parse_properties(odd)
    percent = parse_battery(odd).percent
    assert percent is None or 0 <= percent <= 100
    assert all(-40 < value < 150 for value in parse_thermal(odd).temperatures_celsius.values())
