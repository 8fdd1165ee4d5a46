"""The C runner, built for two processors: `pytest_plugins = ["peers.c_runner_fixtures"]` in a test module."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .binary_bundles import bundle_in

SOURCE = Path(__file__).parent.parent / "data" / "c_runner" / "runner.c"
COMPILERS = {"linux-x86_64": "gcc", "linux-aarch64": "aarch64-linux-gnu-gcc"}
QEMU = "qemu-aarch64-static"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The C program by platform, built for each."""
    missing = [tool for tool in (*COMPILERS.values(), QEMU) if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: tests/setup.sh installs what is needed")
    folder = tmp_path_factory.mktemp("built")
    for platform, compiler in COMPILERS.items():
        command = [compiler, "-O2", "-static", "-Wall", "-Wextra", "-Werror", SOURCE, "-o", folder / platform]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture
def bundle_folder(tmp_path, built):
    """A bundle for this machine's processor, as its author has it; tests spoil it."""
    return bundle_in(tmp_path / "my bundle", built, "linux-x86_64")
