"""A phone that lacks a command: there is a substitute, or one clear error before anything is sent."""

from pathlib import Path

import pytest
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer

from devices.base import CommandTimeoutError, DeviceError
from devices.doctor import diagnose
from devices.inventory import find_device
from devices.remote.tools import NEEDED

pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

LARGE = 9 << 20
"""Big enough to be sent alone."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with AdbServer(tmp_path_factory.mktemp("adb"), GOOGLE_ADB) as started:
        yield started


@pytest.fixture
def lacking(server, tmp_path):
    """A device, not opened, on a phone without these commands."""
    phones = []

    def describe(*hidden, release="android14", more=""):
        phone = AdbDevice(Phone(release, hidden=hidden))
        phone.start()
        phones.append(phone)
        (tmp_path / "pixel.toml").write_text(
            f'driver = "adb"\nserial = "{phone.serial}"\nserver_port = {server.port}\n{more}\n'
        )
        return find_device("pixel", [tmp_path], lock_timeout_s=2.0)

    yield describe
    for phone in phones:
        phone.stop()


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "deep").mkdir(parents=True)
    (folder / "large").write_bytes(b"x" * LARGE)
    (folder / "deep" / "it's").write_text("small")
    (folder / "program").write_text("#!/bin/sh\nexit 3\n")
    (folder / "program").chmod(0o755)
    return folder


def contents(folder):
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def is_of_use(device, tree, tmp_path):
    """Facts, staging, sending, fetching, running and ending commands, all of it right."""
    assert device.facts().model == "Google Pixel 7"
    assert device.telemetry().load_average is not None
    with device:
        staged = device.stage(tree, "a" * 64)
        device.pull(staged, tmp_path / "back")
        assert contents(tmp_path / "back") == contents(tree)
        device.push(tree, "launches/1")
        device.push(tree / "large", "launches/large")
        device.pull("launches/large", tmp_path / "large")
        assert (tmp_path / "large").stat().st_size == LARGE
        assert device.run([f"{staged}/program"]).exit_code == 3
        with pytest.raises(CommandTimeoutError):
            device.run(["sh", "-c", "sleep 4321 & sleep 4321"], timeout_s=1)
        device.remove("launches")


@pytest.mark.parametrize(
    "hidden",
    [
        *(["timeout"], ["flock"], ["taskset"], ["du", "df"], ["sync"], ["ln"], ["stat"]),
        *(["getconf", "od"], ["uname"], ["head", "tail"], ["id", "tr"]),
    ],
    ids="+".join,
)
def test_a_phone_without_what_can_be_done_without_is_of_use(lacking, tree, tmp_path, hidden):
    is_of_use(lacking(*hidden), tree, tmp_path)


def test_a_phone_whose_services_cannot_be_asked_is_of_use_and_unknown(lacking, tree):
    device = lacking("getprop", "dumpsys", "svc", "settings")
    facts, telemetry = device.facts(), device.telemetry()
    assert (facts.model, facts.abis) == (None, ())
    assert (telemetry.battery_percent, telemetry.charging, telemetry.screen_on) == (None, None, None)
    assert telemetry.temperatures_celsius
    with device:
        assert device.run([f"{device.stage(tree, 'a' * 64)}/program"]).exit_code == 3


@pytest.mark.parametrize("tool", sorted({*NEEDED} - {"printf"}))
def test_a_phone_without_what_nothing_goes_without_is_told_at_once(lacking, tool):
    with pytest.raises(DeviceError, match=f"pixel: it has no {tool}, without which nothing can be run"):
        lacking(tool).open()


def test_all_that_is_missing_is_told_at_once(lacking):
    with pytest.raises(DeviceError, match="it has no find, sort, tar, without"):
        lacking("tar", "find", "sort").open()


def test_a_phone_without_printf_says_what_its_shell_said(lacking):
    with pytest.raises(DeviceError, match="printf: inaccessible or not found"):
        lacking("printf").open()


def test_a_phone_that_can_hash_nothing_is_told_when_something_is_sent(lacking, tree):
    with lacking("sha256sum") as device:
        assert device.run(["sh", "-c", "exit 3"]).exit_code == 3
        with pytest.raises(DeviceError, match="nothing to check it with: install one of sha256sum"):
            device.stage(tree, "a" * 64)


def test_pinning_without_taskset_is_refused_with_what_to_do(lacking):
    with pytest.raises(DeviceError, match=r"it has no taskset; .* or remove `cpus`"):
        lacking("taskset", more='cpus = "1"').open()


def test_a_release_without_a_thermal_service_is_of_use(lacking):
    device = lacking(release="android9")
    telemetry = device.telemetry()
    assert (telemetry.throttled, telemetry.screen_on) == (None, True)
    assert telemetry.temperatures_celsius["battery"] == 29.1
    device.close()


def test_the_doctor_names_what_is_missing(lacking):
    checks = {check.name: check for check in diagnose(lacking("find", "tar"))}
    assert checks["tools"].ok is False
    assert checks["tools"].found.startswith("find, tar missing")
