"""Bundles for 32-bit ARM, which pip has to collect."""

import os
import zipfile

import pytest
from bundle_samples import (
    ARM,
    NCNN,
    ONNXRUNTIME,
    board,
    interpreter,
    machines,
    made_for,
)

from harness.bundles.pip import pip_install
from harness.cache import Cache
from harness.environments import Packages
from harness.errors import PocketbenchError, UnsupportedError


def wheel_of(folder, name, version, tag):
    """A wheel of one empty module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_32_bit_arm_gets_what_the_users_index_has(tmp_path, monkeypatch):
    wheel_of(tmp_path, "numpy", "2.4.6", "cp311-cp311-linux_armv7l")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    platform = board(interpreter("3.11", "arm-linux-gnueabihf"), arch="armv7l")
    made = made_for(NCNN, platform, Cache(tmp_path / "cache"))
    assert (made.info.kind, made.info.platform) == ("wheel", "armv7l-manylinux_2_36")
    assert made.info.packages == {"ncnn": NCNN.default_version, "numpy": "2.4.6"}
    assert machines(made.path / "site") == {ARM}


def test_a_32_bit_arm_without_a_wheel_is_told_what_is_missing(tmp_path):
    platform = board(interpreter("3.11", "arm-linux-gnueabihf"), arch="armv7l")
    with pytest.raises(UnsupportedError, match=r"no wheel for armv7l.*onnxruntime=="):
        made_for(ONNXRUNTIME, platform, Cache(tmp_path))


def test_an_index_that_pip_cannot_reach_is_no_lack_of_wheels(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    # uv, which fetches pip itself, has an index of its own and is not given that one.
    monkeypatch.setenv("UV_INDEX", tmp_path.as_uri())
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    wanted = Packages(
        name="x", requirements=("six==1.17.0",), python="3.11", platform="armv7l-manylinux_2_36"
    )
    with pytest.raises(PocketbenchError, match="the package index cannot be reached") as told:
        pip_install(wanted, tmp_path / "site")
    assert not isinstance(told.value, UnsupportedError)
