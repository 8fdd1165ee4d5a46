"""What a phone runs, in its own words, and what it is told of bundles made for something else."""

import hashlib
import json

import pytest
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer

from devices.facts import Facts
from devices.inventory import find_device
from harness.bundles import binary_bundle, bundle_for
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.platforms import Platform, platform_of
from harness.runtimes import RUNTIMES

NCNN = RUNTIMES["ncnn"]
OLD = ("armeabi-v7a", "armeabi")


@pytest.fixture
def built_for(tmp_path):
    """A user's bundle for a platform; nothing of it is run here."""

    def build(platform):
        folder = tmp_path / platform
        folder.mkdir()
        (folder / "runner").write_text("#!/bin/sh\n")
        (folder / "runner").chmod(0o755)
        manifest = {
            "schema": 1,
            "kind": "binary",
            "runtime": "ncnn",
            "version": NCNN.default_version,
            "platform": platform,
            "entry": ["{bundle}/runner"],
            "files": {"runner": hashlib.sha256((folder / "runner").read_bytes()).hexdigest()},
        }
        (folder / "bundle.json").write_text(json.dumps(manifest))
        return binary_bundle(folder)

    return build


def old_phone(machine="armv8l"):
    return platform_of(Facts(driver="adb", os="Android", arch=machine, bits=32, abis=OLD))


@pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")
def test_a_phone_tells_its_abis(tmp_path):
    said = {"ro.product.cpu.abilist": "armeabi-v7a, armeabi"}
    with AdbServer(tmp_path, GOOGLE_ADB) as server, AdbDevice(Phone(properties=said)) as phone:
        (tmp_path / "old.toml").write_text(
            f'driver = "adb"\nserial = "{phone.serial}"\nserver_port = {server.port}\n'
        )
        device = find_device("old", [tmp_path])
        facts = device.facts()
        device.close()
    assert facts.abis == OLD
    assert platform_of(facts).abis == OLD


@pytest.mark.parametrize("machine", ["armv8l", "armv7l"])
def test_a_32_bit_phone_is_told_what_to_build_in_one_message(built_for, machine):
    supplied = built_for("linux-aarch64")
    with pytest.raises(UnsupportedError) as caught:
        bundle_for(Cache(), NCNN, NCNN.default_version, old_phone(machine), [supplied])
    assert type(caught.value) is UnsupportedError
    assert str(caught.value) == (
        f"ncnn {NCNN.default_version} cannot be brought to a phone of armeabi-v7a, armeabi (armv7l): a "
        f"Python can be brought along for aarch64 and x86_64 only; the binary bundle {supplied.path} is of "
        f"{NCNN.default_version} for linux-aarch64 (arm64-v8a). To measure it, build a `binary` bundle for "
        "linux-armv7l (armeabi-v7a) and supply it with --bundle DIR (docs/android.md)"
    )


def test_a_phone_is_not_told_to_install_a_python():
    lacking = RUNTIMES["paddlelite"]
    phone = platform_of(Facts(driver="adb", os="Android", arch="aarch64", abis=("arm64-v8a",)))
    with pytest.raises(UnsupportedError) as caught:
        bundle_for(Cache(), lacking, lacking.default_version, phone)
    assert "install" not in str(caught.value)
    assert "build a `binary` bundle for linux-aarch64 (arm64-v8a)" in str(caught.value)


@pytest.mark.parametrize(
    ("platform", "machine", "abis"),
    [
        ("linux-armv7l", "armv8l", OLD),
        ("linux-armv7l", "aarch64", ("arm64-v8a", *OLD)),
        ("linux-aarch64", "aarch64", ("arm64-v8a", *OLD)),
        ("linux-i686", "x86_64", ("x86_64", "x86")),
    ],
)
def test_a_phone_gets_a_supplied_bundle_of_any_abi_it_has(built_for, platform, machine, abis):
    supplied = built_for(platform)
    phone = platform_of(Facts(driver="adb", os="Android", arch=machine, abis=abis))
    assert bundle_for(Cache(), NCNN, NCNN.default_version, phone, [supplied]) == supplied


def test_a_phone_of_64_bits_only_gets_no_bundle_of_32(built_for):
    supplied = built_for("linux-armv7l")
    phone = Platform(arch="riscv64", bits=64, abis=("riscv64",))
    with pytest.raises(UnsupportedError, match=r"for linux-armv7l \(armeabi-v7a\)\. .* for linux-riscv64"):
        bundle_for(Cache(), NCNN, NCNN.default_version, phone, [supplied])
