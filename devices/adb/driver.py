"""Device files with `driver = "adb"`."""

from typing import Annotated

import msgspec

from devices.base import Device
from devices.remote.config import RemoteConfig

WORKDIR = "/data/local/tmp/pocketbench"
"""The one place that adb's user may write and execute in; /sdcard is mounted noexec."""


class AdbConfig(RemoteConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phone at Google's adb server, by USB, TCP or Wi-Fi.

    `serial` is what `adb devices` lists, or host:port; without it the only phone there is.
    """

    serial: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    server_host: str = "127.0.0.1"
    server_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 5037

    def create(self, name: str, *, lock_timeout_s: float) -> Device:
        """The device this file describes, not reached."""
        from devices.adb.android import SENSES  # noqa: PLC0415 - see below
        from devices.adb.server import AdbServerConnection  # noqa: PLC0415 - collecting does not need it
        from devices.remote.device import RemoteDevice  # noqa: PLC0415 - see above

        connection = AdbServerConnection(
            name, self.serial, server_host=self.server_host, server_port=self.server_port
        )
        placed = msgspec.structs.replace(self, workdir=self.workdir or WORKDIR)
        return RemoteDevice(
            name, "adb", connection, placed.settings(lock_timeout_s=lock_timeout_s), senses=SENSES
        )
