"""Disks that are too small: `pytest_plugins = ["peers.disk_fixtures"]` in a test module."""

import os
import subprocess

import pytest


@pytest.fixture
def mounted(tmp_path):
    """A small disk of its own: gives its folder for `size=1m`; called again, it changes how it is mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options):
        again = ["remount"] if os.path.ismount(disk) else []
        tried = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join([*again, options]), "tmpfs", disk],
            check=False,
            capture_output=True,
        )
        if tried.returncode != 0:
            pytest.skip(f"mounting a small disk is not permitted: {tried.stderr.decode().strip()}")
        return disk

    yield mount
    if os.path.ismount(disk):
        subprocess.run(["umount", disk], check=True)
