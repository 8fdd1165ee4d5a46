"""What tests of commands over SSH share: `pytest_plugins = ["peers.command_fixtures"]` in a test module."""

import pytest

from devices.base import DeviceError, TransientDeviceError
from devices.remote import commands
from devices.remote.command_script import Command
from devices.remote.shell import Shell

from .ssh_connections import connection_to
from .sshd import Sshd


class Runner:
    """Runs commands on one server, over one connection."""

    def __init__(self, server):
        self.server = server
        self.connection = connection_to(server.destination())
        self.shell = Shell("bench", self.connection)
        self.connection.connect()

    def __call__(self, *argv, cwd=None, env=None, stdin=b"", timeout_s=20.0, cpu_mask=None):
        command = Command(
            argv=list(map(str, argv)),
            cwd=str(cwd or self.server.folder),
            env=env or {},
            owner="tests",
            cpu_mask=cpu_mask,
        )
        return commands.run(self.shell, command, stdin=stdin, timeout_s=timeout_s)

    def error(self, *argv, kind=DeviceError, **rest):
        with pytest.raises(kind) as caught:
            self(*argv, **rest)
        assert issubclass(kind, TransientDeviceError) is isinstance(caught.value, TransientDeviceError)
        return str(caught.value)


@pytest.fixture(scope="module")
def command_sshd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sshd")
    with Sshd(folder, environment={"HOME": str(folder), "SECRET": "of the session", "LANG": "C"}) as started:
        yield started


@pytest.fixture(scope="module")
def runner(command_sshd):
    started = Runner(command_sshd)
    yield started
    started.connection.close()


@pytest.fixture
def run(runner):
    if not runner.connection.connected:
        runner.connection.connect()
    return runner


@pytest.fixture
def start_sshd(tmp_path):
    """Servers with other settings, each with a runner."""
    started = []

    def start(**options):
        server = Sshd(tmp_path / f"sshd{len(started)}", **options)
        server.start()
        runner = Runner(server)
        started.append(runner)
        return runner

    yield start
    for runner in started:
        runner.connection.close()
        runner.server.stop()
