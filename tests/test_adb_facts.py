"""What an Android phone tells of itself through Google's adb server: one round trip each."""

import pytest
from peers.adbd.android import ANSWERS
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer

from devices.adb.android import SENSES
from devices.adb.server import AdbServerConnection
from devices.remote import snapshot_scripts
from devices.remote.device import RemoteDevice
from devices.remote.settings import RemoteSettings

pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

GARBAGE = [
    "",
    "\n",
    "Segmentation fault\n",
    "\x00\r\n[]: []\n[a\n",
    "level: \n  level: nine\n" * 99,
    "\N{SNOWMAN}",
]


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


def test_a_phone_from_before_soc_properties_names_its_chip_as_its_kernel_does(asked, phones):
    facts = asked(phones("android9")).facts()
    assert (facts.model, facts.soc) == ("Google Pixel 2", "Qualcomm Technologies, Inc MSM8998")
    assert (facts.os_version, facts.serial, facts.cores) == ("9 (API 28)", "HT7A1A0TEST", 8)


def test_the_telemetry_of_a_phone_has_its_services_readings(asked, pixel7):
    telemetry = asked(pixel7).telemetry()
    hal = {"BIG": 42.0, "MID": 40.0, "LITTLE": 39.0, "G3D": 37.0, "battery": 28.7, "VIRTUAL-SKIN": 31.2}
    assert telemetry.temperatures_celsius == hal
    assert (telemetry.battery_percent, telemetry.charging) == (84.0, True)
    assert (telemetry.throttled, telemetry.throttle_flags) == (False, ())
    assert (telemetry.frequencies_khz["cpu7"], telemetry.governor) == (500000, "sched_pixel")
    assert telemetry.load_average is not None


def test_a_phone_without_a_thermal_service_has_its_zones_in_whatever_unit(asked, phones):
    telemetry = asked(phones("android9")).telemetry()
    zones = {"tsens_tz_sensor1": 38.6, "tsens_tz_sensor7": 39.1, "quiet_therm": 33.0, "battery": 29.1}
    assert telemetry.temperatures_celsius == zones
    assert telemetry.throttled is None
    assert (telemetry.battery_percent, telemetry.charging) == (84.0, True)


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


def test_a_phone_without_services_has_what_the_kernel_shows(asked, pixel7):
    pixel7.phone.say("battery", None)
    pixel7.phone.say("thermalservice", None)
    telemetry = asked(pixel7).telemetry()
    zones = {"BIG": 41.0, "MID": 40.0, "LITTLE": 39.0, "G3D": 37.0, "battery": 28.7}
    assert telemetry.temperatures_celsius == zones
    assert (telemetry.battery_percent, telemetry.charging, telemetry.throttled) == (None, None, None)


def test_a_thermal_service_whose_hal_is_not_ready_tells_nothing(asked, pixel7):
    said = pixel7.phone.release.dumpsys["thermalservice"]
    pixel7.phone.say("thermalservice", said.replace("HAL Ready: true", "HAL Ready: false"))
    telemetry = asked(pixel7).telemetry()
    assert telemetry.temperatures_celsius["BIG"] == 41.0
    assert "VIRTUAL-SKIN" not in telemetry.temperatures_celsius
    assert telemetry.throttled is None


def test_a_phone_that_is_severely_hot_is_throttled_and_says_how(asked, pixel7):
    said = pixel7.phone.release.dumpsys["thermalservice"]
    pixel7.phone.say("thermalservice", said.replace("Thermal Status: 0", "Thermal Status: 3"))
    telemetry = asked(pixel7).telemetry()
    assert (telemetry.throttled, telemetry.throttle_flags) == (True, ("thermal_status_severe",))


def test_services_that_answer_rubbish_cost_nothing_else(asked, pixel7):
    for said in GARBAGE:
        pixel7.phone.say("battery", said)
        pixel7.phone.say("thermalservice", said)
        telemetry = asked(pixel7).telemetry()
        assert telemetry.temperatures_celsius["BIG"] == 41.0
        assert (telemetry.battery_percent, telemetry.throttled) == (None, None)
        assert telemetry.frequencies_khz


def test_a_phone_whose_properties_are_rubbish_has_the_kernel_s_facts(asked, pixel7):
    properties = pixel7.phone.private / "system" / ANSWERS / "properties"
    for said in GARBAGE:
        properties.write_text(said)
        facts = asked(pixel7).facts()
        assert facts.cores == 8
        assert (facts.model, facts.serial) == (None, None)
        assert facts.os != "Android"


def test_a_service_that_hangs_is_not_waited_for(asked, phones, monkeypatch):
    monkeypatch.setattr(snapshot_scripts, "COMMAND_TIMEOUT_S", 1)
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
