"""Devices on test phones, by both ways."""

from devices.adb.direct import AdbDirectConnection
from devices.adb.driver import WORKDIR
from devices.adb.server import AdbServerConnection
from devices.remote.device import RemoteDevice
from devices.remote.settings import RemoteSettings

TRANSPORTS = ("server", "direct")


def connection_on(transport, server, phone, *, name="pixel", serial=None):
    """A connection to `phone`, not made; both ways have the key of `server`."""
    if transport == "server":
        return AdbServerConnection(name, serial or phone.serial, server_port=server.port)
    return AdbDirectConnection(name, serial or phone.serial, key_file=str(server.key), question_timeout_s=1.0)


def device_on(transport, server, phone, workdir=WORKDIR, *, name="pixel", serial=None, **settings):
    """A device, not opened, on `phone`."""
    connection = connection_on(transport, server, phone, name=name, serial=serial)
    chosen = {"lock_timeout_s": 2.0, "patience_s": 20.0, **settings}
    return RemoteDevice(name, "adb", connection, RemoteSettings(workdir=workdir, **chosen))
