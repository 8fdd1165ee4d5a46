"""Whom the test phone has to convince beside Google's adb, and what its tests look at."""

import hashlib
import os
import time
from contextlib import contextmanager

import adbutils
import pytest
from adb_shell.adb_device import AdbDeviceTcp

from .adbd.phone import Phone
from .adbd.server import DEBIAN_ADB, PATIENCE_S

MIB = 1 << 20
TMP = "/data/local/tmp"

needs_a_phone = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")


@contextmanager
def adb_shell_on(device, **options):
    client = AdbDeviceTcp(device.host, device.port)
    try:
        client.connect(**options)
        yield client
    finally:
        client.close()


def adbutils_on(server, device):
    return adbutils.AdbClient(host=server.host, port=server.port).device(device.serial)


def said_by(done):
    """Android 10's adb tells errors on stdout."""
    return done.stdout + done.stderr


def lost(server, done):
    """Whether a command without an exit code was noticed; Android 10's adb takes it for a success."""
    return done.returncode != 0 or server.program == DEBIAN_ADB


def noise_file(path, size):
    path.write_bytes(os.urandom(size))
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wait_until(true, timeout_s=PATIENCE_S):
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
