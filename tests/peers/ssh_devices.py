"""Devices on the private SSH servers, and the odd disks their work directories may lie on."""

import subprocess
from contextlib import contextmanager

from devices.remote.device import RemoteDevice
from devices.remote.settings import RemoteSettings
from devices.ssh.connection import SshConnection
from devices.ssh.routes import Destination, resolve


def destination_of(peer, **said):
    """What a device file says to get to `peer`; `said` comes first."""
    usual = {
        "host": peer.host,
        "port": peer.port,
        "user": peer.user,
        "identity_file": str(peer.identity_file),
        "known_hosts_file": str(peer.known_hosts),
    }
    return Destination(**{**usual, **said})


def device_on(peer, workdir, *, name="board", port=None, keepalive_s=1.0, silence_s=5.0, **settings):
    """A device, not opened, on `peer`; `port` may be a proxy's in front of it."""
    destination = destination_of(peer, port=port or peer.port)
    connection = SshConnection(
        name,
        lambda: resolve(name, destination),
        accept_new=port is not None,
        keepalive_s=keepalive_s,
        silence_s=silence_s,
    )
    chosen = {"lock_timeout_s": 2.0, "patience_s": 20.0, **settings}
    return RemoteDevice(name, "ssh", connection, RemoteSettings(workdir=str(workdir), **chosen))


@contextmanager
def tmpfs(folder, *options):
    """A file system in memory on `folder`, mounted with `options`."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["-o", ",".join(options)] if options else []
    subprocess.run(["mount", "-t", "tmpfs", *words, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
