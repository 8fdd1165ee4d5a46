"""A phone before Android 9: there is no /bin, and /system/bin/sh has to do for all that is run on it."""

import pytest
from peers.adb_clients import needs_a_phone
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import AdbServer

from devices.inventory import find_device

pytestmark = needs_a_phone


@pytest.fixture(scope="module")
def old_phone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with AdbServer(folder) as server, AdbDevice(Phone("android9", has_bin=False)) as phone:
        server.connect(phone.serial)
        (folder / "old.toml").write_text(
            f'driver = "adb"\nserial = "{phone.serial}"\nserver_port = {server.port}\n'
        )
        with find_device("old", [folder]) as device:
            yield device


def test_a_phone_without_bin_runs_what_it_is_sent(old_phone, tmp_path):
    (tmp_path / "tree").mkdir()
    for name in ("tool", "a=b"):
        program = tmp_path / "tree" / name
        program.write_text('#!/system/bin/sh\necho "$1"\n')
        program.chmod(0o755)
    staged = old_phone.stage(tmp_path / "tree", "e" * 64)
    assert old_phone.run([f"{staged}/tool", "ran"]).stdout == b"ran\n"
    old_phone.push(tmp_path / "tree/a=b", "launches/a=b")
    assert old_phone.run(["./launches/a=b", "ran too"]).stdout == b"ran too\n"


def test_a_phone_without_bin_and_getconf_tells_its_facts(old_phone):
    facts = old_phone.facts()
    assert (facts.os_version, facts.bits) == ("9 (API 28)", 64)
