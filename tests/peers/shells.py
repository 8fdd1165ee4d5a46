"""Shells on a private sshd, disks that are too small, and trees to send there."""

import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

from devices.remote.shell import Shell
from devices.remote.store import Store
from devices.ssh.connection import SshConnection
from devices.ssh.routes import resolve

from .ssh_devices import destination_of

MIB = 1 << 20
ODD_NAMES = ["a b", 'it\'s "quoted"', "two\nlines", "-rf", "ünï ☃", "$HOME", "*", "back\\slash", "n" * 200]


def mounted(path, options):
    path.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=False, capture_output=True
    )
    if tried.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {tried.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


class Connected:
    """A shell on the sshd that counts its calls; `again` connects anew."""

    def __init__(self, sshd, port=None):
        wanted = destination_of(sshd, port=port or sshd.port)
        # The proxy's port is not the one that is known.
        self.connection = SshConnection(
            "board", lambda: resolve("board", wanted), accept_new=port is not None
        )

    def __enter__(self):
        self.connection.connect()
        shell = Shell("board", self.connection)
        shell.again = self.connection.connect
        shell.calls = 0
        execute = self.connection.execute

        def counted(*arguments, **options):
            shell.calls += 1
            return execute(*arguments, **options)

        self.connection.execute = counted
        return shell

    def __exit__(self, *_):
        self.connection.close()


def store_in(shell, workdir, *, quota_bytes=None):
    return Store(shell, f"{workdir}/store", quota_bytes=quota_bytes)


def noise(size, seed=0):
    return random.Random(f"{size} {seed}").randbytes(size)  # noqa: S311 - the same each time


def make_tree(root, contents):
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def digest(path):
    return hashlib.sha256(repr(seen(path)).encode()).hexdigest()


def seen(root):
    """What is in a tree, and of what kind."""
    found = {}
    for path in sorted(Path(root).rglob("*")):
        if path.is_symlink():
            what = ("link", str(path.readlink()))
        elif path.is_dir():
            what = ("directory",)
        else:
            what = ("file", path.read_bytes(), os.access(path, os.X_OK))
        found[str(path.relative_to(root))] = what
    return found


def names_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def left_behind(folder):
    return [name for name in names_in(folder) if name.startswith(".")]
