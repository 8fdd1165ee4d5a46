"""What an Android phone tells of itself through Google's adb server: one round trip each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers.adbd.android import ANSWERS
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer

from devices.adb import android
from devices.adb.android import SENSES, Battery, Heat, parse_battery, parse_properties, parse_thermal
from devices.adb.server import AdbServerConnection
from devices.facts import Facts
from devices.remote import snapshot
from devices.remote.device import RemoteDevice
from devices.remote.settings import RemoteSettings
from devices.telemetry import Telemetry

on_a_phone = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

GARBAGE = [
    "",
    "\n",
    "Segmentation fault\n",
    "\x00\r\n[]: []\n[a\n",
    "level: \n  level: nine\n" * 99,
    "\N{SNOWMAN}",
]
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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with AdbServer(tmp_path_factory.mktemp("adb"), GOOGLE_ADB) as server:
        yield server


@pytest.fixture(scope="module")
def phones():
    """The phones of this module by release, each booted when it is first asked for."""
    booted = {}

    def boot(release):
        if release not in booted:
            booted[release] = AdbDevice(Phone(release))
            booted[release].start()
        return booted[release]

    yield boot
    for phone in booted.values():
        phone.stop()


@pytest.fixture
def pixel7(phones):
    """Android 14; what it is made to say is put back."""
    phone = phones("android14")
    answers = phone.phone.private / "system" / ANSWERS
    properties = (answers / "properties").read_text()
    yield phone
    (answers / "properties").write_text(properties)
    for service, text in phone.phone.release.dumpsys.items():
        phone.phone.say(service, text)


@pytest.fixture
def asked(server):
    """A device, of which nothing is known yet, on a phone."""
    devices = []

    def ask(phone):
        connection = AdbServerConnection("pixel", phone.serial, server_port=server.port)
        settings = RemoteSettings(workdir="/data/local/tmp/pocketbench")
        devices.append(RemoteDevice("pixel", "adb", connection, settings, senses=SENSES))
        return devices[-1]

    yield ask
    for device in devices:
        device.close()


@on_a_phone
def test_the_facts_of_a_phone_are_its_properties_and_its_kernel_s(asked, pixel7):
    facts = asked(pixel7).facts()
    assert (facts.driver, facts.model, facts.soc) == ("adb", "Google Pixel 7", "Tensor G2")
    assert (facts.os, facts.os_version, facts.serial) == ("Android", "14 (API 34)", "2A111FDH200TST")
    assert [(c.name, c.cores, c.max_khz) for c in facts.clusters] == [
        ("Cortex-A55", (0, 1, 2, 3), 1803000),
        ("Cortex-A78", (4, 5), 2348000),
        ("Cortex-X1", (6, 7), 2850000),
    ]
    assert facts.arch
    assert facts.kernel
    assert facts.ram_bytes
    assert facts.boot_id == pixel7.phone.path("proc/sys/kernel/random/boot_id").read_text().strip()


@on_a_phone
def test_a_phone_from_before_soc_properties_names_its_chip_as_its_kernel_does(asked, phones):
    facts = asked(phones("android9")).facts()
    assert (facts.model, facts.soc) == ("Google Pixel 2", "Qualcomm Technologies, Inc MSM8998")
    assert (facts.os_version, facts.serial, facts.cores) == ("9 (API 28)", "HT7A1A0TEST", 8)


@on_a_phone
def test_the_telemetry_of_a_phone_has_its_services_readings(asked, pixel7):
    telemetry = asked(pixel7).telemetry()
    hal = {"BIG": 42.0, "MID": 40.0, "LITTLE": 39.0, "G3D": 37.0, "battery": 28.7, "VIRTUAL-SKIN": 31.2}
    assert telemetry.temperatures_celsius == hal
    assert (telemetry.battery_percent, telemetry.charging) == (84.0, True)
    assert (telemetry.throttled, telemetry.throttle_flags) == (False, ())
    assert (telemetry.frequencies_khz["cpu7"], telemetry.governor) == (500000, "sched_pixel")
    assert telemetry.load_average is not None


@on_a_phone
def test_a_phone_without_a_thermal_service_has_its_zones_in_whatever_unit(asked, phones):
    telemetry = asked(phones("android9")).telemetry()
    zones = {"tsens_tz_sensor1": 38.6, "tsens_tz_sensor7": 39.1, "quiet_therm": 33.0, "battery": 29.1}
    assert telemetry.temperatures_celsius == zones
    assert telemetry.throttled is None
    assert (telemetry.battery_percent, telemetry.charging) == (84.0, True)


@on_a_phone
@pytest.mark.parametrize("release", ["android14", "android9"])
def test_facts_and_telemetry_of_a_phone_are_one_command_each(asked, phones, release):
    device, phone = asked(phones(release)), phones(release)
    device.reach()
    phone.traffic.clear()
    device.facts()
    assert len(phone.traffic.services) == 1
    device.telemetry()
    assert len(phone.traffic.services) == 2
    device.facts()
    assert len(phone.traffic.services) == 2


@on_a_phone
def test_a_phone_without_services_has_what_the_kernel_shows(asked, pixel7):
    pixel7.phone.say("battery", None)
    pixel7.phone.say("thermalservice", None)
    telemetry = asked(pixel7).telemetry()
    zones = {"BIG": 41.0, "MID": 40.0, "LITTLE": 39.0, "G3D": 37.0, "battery": 28.7}
    assert telemetry.temperatures_celsius == zones
    assert (telemetry.battery_percent, telemetry.charging, telemetry.throttled) == (None, None, None)


@on_a_phone
def test_a_thermal_service_whose_hal_is_not_ready_tells_nothing(asked, pixel7):
    said = pixel7.phone.release.dumpsys["thermalservice"]
    pixel7.phone.say("thermalservice", said.replace("HAL Ready: true", "HAL Ready: false"))
    telemetry = asked(pixel7).telemetry()
    assert telemetry.temperatures_celsius["BIG"] == 41.0
    assert "VIRTUAL-SKIN" not in telemetry.temperatures_celsius
    assert telemetry.throttled is None


@on_a_phone
def test_a_phone_that_is_severely_hot_is_throttled_and_says_how(asked, pixel7):
    said = pixel7.phone.release.dumpsys["thermalservice"]
    pixel7.phone.say("thermalservice", said.replace("Thermal Status: 0", "Thermal Status: 3"))
    telemetry = asked(pixel7).telemetry()
    assert (telemetry.throttled, telemetry.throttle_flags) == (True, ("thermal_status_severe",))


@on_a_phone
def test_services_that_answer_rubbish_cost_nothing_else(asked, pixel7):
    for said in GARBAGE:
        pixel7.phone.say("battery", said)
        pixel7.phone.say("thermalservice", said)
        telemetry = asked(pixel7).telemetry()
        assert telemetry.temperatures_celsius["BIG"] == 41.0
        assert (telemetry.battery_percent, telemetry.throttled) == (None, None)
        assert telemetry.frequencies_khz


@on_a_phone
def test_a_phone_whose_properties_are_rubbish_has_the_kernel_s_facts(asked, pixel7):
    properties = pixel7.phone.private / "system" / ANSWERS / "properties"
    for said in GARBAGE:
        properties.write_text(said)
        facts = asked(pixel7).facts()
        assert facts.cores == 8
        assert (facts.model, facts.serial) == (None, None)
        assert facts.os != "Android"


@on_a_phone
def test_a_service_that_hangs_is_not_waited_for(asked, phones, monkeypatch):
    monkeypatch.setattr(snapshot, "COMMAND_TIMEOUT_S", 1)
    phone = phones("android9")
    program = phone.phone.private / "system/bin/dumpsys"
    text = program.read_text()
    program.write_text(text.replace("\nfile=", "\nsleep 60\nfile=", 1))
    try:
        telemetry = asked(phone).telemetry()
    finally:
        program.write_text(text)
    assert telemetry.battery_percent is None
    assert telemetry.temperatures_celsius["quiet_therm"] == 33.0


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
