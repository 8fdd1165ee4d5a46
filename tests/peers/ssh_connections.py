"""Connections to the private SSH servers: made, counted, or refused with a word that tells what to do."""

import shlex
from contextlib import contextmanager

import pytest

from devices.base import DeviceError, TransientDeviceError
from devices.ssh.connection import SshConnection
from devices.ssh.routes import resolve


class Counting:
    """A transport that counts what is executed; and may have another program than /bin/sh run it."""

    def __init__(self, inner, shell=None):
        self.inner = inner
        self.calls = 0
        self.shell = shell

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def execute(self, line, **rest):
        self.calls += 1
        if self.shell is not None:
            line = line.replace("exec /bin/sh -c ", f"exec {self.shell} -c ", 1)
        return self.inner.execute(line, **rest)


def connection_to(destination, **options):
    return SshConnection("bench", lambda: resolve("bench", destination), **options)


@contextmanager
def connected(destination, **options):
    connection = connection_to(destination, **options)
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def refusal(destination, kind=DeviceError, **options):
    """What is told when no connection can be made."""
    connection = connection_to(destination, **options)
    with pytest.raises(DeviceError) as caught:
        connection.connect()
    assert type(caught.value) is kind or kind is DeviceError
    assert isinstance(caught.value, TransientDeviceError) is (kind is TransientDeviceError)
    assert not connection.connected
    return str(caught.value)


def printed_command(message, begin, end):
    """The words of the command that stands in a message between `begin` and `end`."""
    return shlex.split(message.partition(begin)[2].partition(end)[0])
