"""Processes that a test starts: their command, what became of them, and what of ours is left open."""

import os
import sys
import time
from pathlib import Path


def python(code, *arguments):
    """The command that runs `code` in this interpreter."""
    return [sys.executable, "-c", code, *map(str, arguments)]


def is_alive(pid):
    """Whether a process runs; one that is dead and not yet buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def dies(pid, within_s=10.0):
    """Whether a process ends in time."""
    deadline = time.monotonic() + within_s
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


def pids_in(path, count, within_s=10.0):
    """The `count` process numbers, or more, that the file at `path` will hold."""
    deadline = time.monotonic() + within_s
    while not path.exists() or len(path.read_text().split()) < count:
        assert time.monotonic() < deadline, "the command did not start what it should"
        time.sleep(0.01)
    return [int(word) for word in path.read_text().split()]


def open_descriptors():
    """How many files, pipes and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208
