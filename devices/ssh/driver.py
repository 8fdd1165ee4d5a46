"""Device files with `driver = "ssh"`."""

from typing import Annotated, Literal

import msgspec

from devices.base import Device
from devices.remote.config import RemoteConfig


class SshConfig(RemoteConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine that OpenSSH's or Dropbear's server runs on.

    `host` may be a name of ~/.ssh/config; what is not said here is taken from there. No secrets: keys are
    named, never written down.
    """

    host: Annotated[str, msgspec.Meta(min_length=1)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    user: str | None = None
    identity_file: str | None = None
    known_hosts_file: str | None = None
    host_key: Literal["known", "accept-new"] = "known"

    def create(self, name: str, *, lock_timeout_s: float) -> Device:
        """The device this file describes, not reached; raises DeviceError."""
        # paramiko takes a quarter of a second to import, and collecting tests does not need it.
        from devices.remote.device import RemoteDevice  # noqa: PLC0415
        from devices.ssh.connection import SshConnection  # noqa: PLC0415
        from devices.ssh.routes import Destination, resolve  # noqa: PLC0415

        destination = Destination(
            host=self.host,
            port=self.port,
            user=self.user,
            identity_file=self.identity_file,
            known_hosts_file=self.known_hosts_file,
        )
        connection = SshConnection(
            name, lambda: resolve(name, destination), accept_new=self.host_key == "accept-new"
        )
        return RemoteDevice(name, "ssh", connection, self.settings(lock_timeout_s=lock_timeout_s))
