"""Device files with `driver = "adb"`."""

from functools import partial
from typing import Annotated, Literal

import msgspec

from devices.base import Device
from devices.remote.config import RemoteConfig
from devices.remote.transport import Transport

WORKDIR = "/data/local/tmp/pocketbench"
"""The one place that adb's user may write and execute in; /sdcard is mounted noexec."""


class AdbConfig(RemoteConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phone by USB, TCP or Wi-Fi, through Google's adb server or without one.

    `serial` is what `adb devices` lists, or host:port; without it the only phone there is. `transport` is
    "server", "direct" (no adb server; direct USB has not been tried on a phone), or "auto": direct for
    host:port while no server runs at `server_host` and `server_port` and the phone does not want TLS, else
    the server, which is started when none runs. `key_file` is a private key for "direct" instead of the
    user's own ~/.android/adbkey; a server has its own. `stay_on` keeps the screen on while it is measured.
    """

    serial: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    transport: Literal["auto", "server", "direct"] = "auto"
    key_file: str | None = None
    server_host: str = "127.0.0.1"
    server_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 5037
    stay_on: bool = True

    def create(self, name: str, *, lock_timeout_s: float) -> Device:
        """The device this file describes, not reached."""
        from devices.adb.android import SENSES  # noqa: PLC0415 - see below
        from devices.adb.power import StayOn  # noqa: PLC0415 - see below
        from devices.remote.device import RemoteDevice  # noqa: PLC0415 - collecting does not need it

        placed = msgspec.structs.replace(self, workdir=self.workdir or WORKDIR)
        return RemoteDevice(
            name,
            "adb",
            self._connection(name),
            placed.settings(lock_timeout_s=lock_timeout_s),
            senses=SENSES,
            kept=(partial(StayOn, wanted=self.stay_on),),
        )

    def _connection(self, name: str) -> Transport:
        from devices.adb.choice import AdbChosenConnection  # noqa: PLC0415 - see above
        from devices.adb.direct import AdbDirectConnection  # noqa: PLC0415 - see above
        from devices.adb.server import AdbServerConnection  # noqa: PLC0415 - see above

        match self.transport:
            case "server":
                return AdbServerConnection(
                    name, self.serial, server_host=self.server_host, server_port=self.server_port
                )
            case "direct":
                return AdbDirectConnection(name, self.serial, key_file=self.key_file)
            case "auto":
                return AdbChosenConnection(
                    name,
                    self.serial,
                    server_host=self.server_host,
                    server_port=self.server_port,
                    key_file=self.key_file,
                )
