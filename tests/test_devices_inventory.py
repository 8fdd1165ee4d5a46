"""Device files: found in the right place, decoded strictly, wrong ones explained."""

import subprocess
import sys

import pytest

import devices
from devices import DeviceError, InventoryError, find_device, list_devices
from devices.inventory import PACKAGED, read_config


@pytest.fixture(autouse=True)
def private_directories(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("POCKETBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lab").mkdir()
    return tmp_path / "lab"


def written(folder, text, name="board"):
    path = folder / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def complaint(folder, text):
    path = written(folder, text)
    with pytest.raises(InventoryError) as caught:
        find_device("board", [folder])
    message = str(caught.value)
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def test_the_machine_itself_is_a_device_without_any_file_of_the_user():
    device = find_device("local")
    assert (device.name, device.cpus, device.cooldown_celsius, device.emulated) == (
        "local",
        None,
        None,
        False,
    )


def test_every_key_of_a_device_file_reaches_the_device(folder):
    written(
        folder,
        'driver = "local"\ndescription = "big cores"\nworkdir = "/srv/bench"\ncpus = "4-5,7"\n'
        "emulated = true\n[cooldown]\nmax_celsius = 55\n",
        name="my board",
    )
    device = find_device("my board", [folder], lock_timeout_s=5)
    assert device.name == "my board"
    assert device.workdir == "/srv/bench"
    assert device.cpus == (4, 5, 7)
    assert device.emulated is True
    assert device.cooldown_celsius == 55.0
    assert device.lock_timeout_s == 5


def test_given_directories_come_before_the_packaged_ones_and_those_before_the_user_s(folder, tmp_path):
    user = tmp_path / "config" / "pocketbench" / "devices"
    for place in (folder, user):
        written(place, 'driver = "local"', name="local")
    written(user, 'driver = "local"', name="mine")
    assert list_devices()["local"] == PACKAGED / "local.toml"
    assert list_devices([str(folder)])["local"] == folder / "local.toml"
    assert list_devices()["mine"] == user / "mine.toml"


def test_an_unknown_device_is_an_error_with_the_nearest_and_all_known_names(folder):
    written(folder, 'driver = "local"', name="pixel7")
    with pytest.raises(InventoryError) as caught:
        find_device("pixle7", [folder])
    assert str(caught.value) == "unknown device 'pixle7'. Did you mean 'pixel7'? Known: local, pixel7."
    with pytest.raises(InventoryError, match=r"unknown device '\.\./local'"):
        find_device("../local", [folder])


def test_a_device_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InventoryError, match="lba is not there"):
        list_devices([tmp_path / "lba"])


def test_an_unknown_key_is_named_with_its_line_the_nearest_and_all_valid_keys(folder):
    assert complaint(folder, '# mine\ndriver = "local"\nWorkDir = "/x"\n') == (
        ":3: key 'WorkDir': unknown key. Did you mean 'workdir'? "
        "Valid keys: cooldown, cpus, description, driver, emulated, workdir."
    )
    assert complaint(folder, 'driver = "local"\n[cooldown]\nmax_celcius = 50\n') == (
        ":3: key 'cooldown.max_celcius': unknown key in [cooldown]. Did you mean 'max_celsius'? "
        "Valid keys: max_celsius."
    )
    assert complaint(folder, 'driver = "local"\n[zzz]\n') == (
        ":2: key 'zzz': unknown key. Valid keys: cooldown, cpus, description, driver, emulated, workdir."
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('emulated = "yes"', ":2: key 'emulated': Expected bool, got str"),
        ("cpus = 4", ":2: key 'cpus': Expected str | null, got int"),
        ('cpus = "7-4"', ":2: key 'cpus': '7-4' is no CPU list: 7-4 runs backwards or too far"),
        ('cpus = "big"', ":2: key 'cpus': 'big' is no CPU list; write it as 4-7 or 0,2"),
        ('workdir = ""', ":2: key 'workdir': Expected str of length >= 1"),
        ("cooldown = 55", ":2: key 'cooldown': Expected object, got int"),
        ("cooldown.max_celsius = 55000", ":2: key 'cooldown.max_celsius': Expected float <= 120.0"),
        ('cooldown = {max_celsius = "hot"}', ": key 'cooldown.max_celsius': Expected float | null, got str"),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_was_expected(folder, line, expected):
    assert complaint(folder, f'driver = "local"\n{line}\n') == expected


def test_a_wrong_or_missing_driver_is_an_error_that_lists_the_drivers(folder):
    assert complaint(folder, 'driver = "locl"') == (
        ":1: key 'driver': unknown driver 'locl'. Did you mean 'local'? Known: local, ssh, adb."
    )
    assert complaint(folder, "driver = 3").startswith(":1: key 'driver': unknown driver 3.")
    assert complaint(folder, 'drvier = "local"') == (
        ": key 'driver' is missing (is 'drvier' meant to be it?); write driver = \"local\""
    )


def test_broken_toml_is_named_with_its_line(folder):
    assert complaint(folder, 'driver = "local"\ncpus = \n').startswith(":2: is not valid TOML: Invalid value")
    path = written(folder, "")
    path.write_bytes(b'driver = "\xff"')
    with pytest.raises(InventoryError, match="is not UTF-8"):
        read_config(path)


def test_a_relative_work_directory_is_refused_naming_the_device(folder):
    written(folder, 'driver = "local"\nworkdir = "relative"\n')
    with pytest.raises(DeviceError, match="board: workdir 'relative' must be absolute"):
        find_device("board", [folder])


def test_every_packaged_device_file_is_valid():
    for path in PACKAGED.glob("*.toml"):
        assert read_config(path).description


def test_everything_the_package_promises_is_there():
    assert sorted(devices.__all__) == sorted(set(devices.__all__))
    for name in devices.__all__:
        assert getattr(devices, name)


def test_importing_devices_brings_in_no_harness_and_none_of_its_slow_parts():
    code = "import sys, devices; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"harness", "reports", "filelock", "platformdirs", "asyncio", "numpy"} & set(loaded.split())
