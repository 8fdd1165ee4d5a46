"""The doctor, asked from a test: its steps, what it found, and its command line."""

import subprocess
import sys

import pytest

from devices.doctor import diagnose

from .sshd import Sshd

STEPS = [
    "reach",
    "authenticate",
    "write",
    "execute",
    "space",
    "tools",
    "python",
    "clock",
    "thermal",
    "governor",
    "pinning",
    "lock",
]

with_sshd = pytest.mark.skipif(bool(Sshd.missing()), reason=Sshd.missing() or "there is one")


def examined(device):
    return {check.name: check for check in diagnose(device)}


def pocketbench(*arguments):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
