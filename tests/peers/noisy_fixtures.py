"""A server whose start-up files print, and what is run there: `pytest_plugins = ["peers.noisy_fixtures"]`."""

import pytest

from devices.remote.shell import Shell

from .ssh_connections import Counting, connected
from .sshd import Sshd


@pytest.fixture(scope="module")
def noisy_home(tmp_path_factory):
    """A home directory whose start-up file prints, on both streams."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".bashrc").write_text(
        "echo; echo 'Welcome to board!'; echo pb0123456789abcdef; echo motd >&2\n"
    )
    return folder


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A directory that is first on the device's PATH; each test plants what it needs and takes it away."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def noisy_sshd(tmp_path_factory, noisy_home, programs):
    if Sshd.missing():
        pytest.skip(Sshd.missing())
    environment = {
        "HOME": str(noisy_home),
        "PATH": f"{programs}:/usr/bin:/bin",
        "BASH_ENV": str(noisy_home / ".bashrc"),
    }
    with Sshd(tmp_path_factory.mktemp("sshd"), environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def noisy_connection(noisy_sshd):
    with connected(noisy_sshd.destination()) as connection:
        yield connection


@pytest.fixture
def counted_transport(noisy_connection):
    return Counting(noisy_connection)


@pytest.fixture
def noisy_shell(counted_transport):
    return Shell("board", counted_transport)


@pytest.fixture
def program(programs):
    """Plants a program that is found before the system's; gone after the test."""
    planted = []

    def plant_one(name, text):
        path = programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        planted.append(path)
        return path

    yield plant_one
    for path in planted:
        path.unlink()
