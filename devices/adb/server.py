"""A device through Google's adb server, which shares it with other users of the phone.

adbutils carries the server, which is started when none runs. What it offers for commands has traps (no exit
code without v2, no stdin), so commands go over a stream. Source: AOSP, packages/modules/adb/SERVICES.TXT.
"""

from collections.abc import Sequence

import adbutils

from devices.adb import smart_socket
from devices.adb.stream import Stream, StreamLostError
from devices.adb.transport import (
    CONNECT_TIMEOUT_S,
    OPEN_TIMEOUT_S,
    AdbTransport,
    CommandRefusedError,
    unreachable,
)
from devices.base import DeviceError, TransientDeviceError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_REFUSED = "closed"
"""What a server says of a service that the device itself does not open."""


class AdbServerConnection(AdbTransport):
    """A Transport through an adb server. `serial` None means the only device there is."""

    def __init__(
        self, device: str, serial: str | None, *, server_host: str = "127.0.0.1", server_port: int = 5037
    ) -> None:
        super().__init__(device, _address(serial or "the only phone"))
        self._wanted = serial
        self._serial = ""
        self._place = (server_host, server_port)
        self._client = adbutils.AdbClient(host=server_host, port=server_port)

    def connect(self) -> None:
        """Find the device at the server; raises DeviceError, TransientDeviceError with what to do."""
        self.close()
        said = ""
        try:
            self._start_unless_there()
            if self._wanted and ":" in self._wanted:
                said = self._client.connect(self._wanted, timeout=CONNECT_TIMEOUT_S)
            states = {found.serial: found.state for found in self._client.list()}
            serial = self._wanted or self._only(states)
            state = states.get(serial)
        except (adbutils.AdbError, OSError) as error:
            raise TransientDeviceError(
                f"{self.device}: the adb server does not answer ({error}): `adb kill-server` and try again"
            ) from error
        if state is None:
            raise self._missing(serial, states, said)
        self._check(serial, state=state, features=self._features(serial) if state == "device" else ())
        self._serial = serial
        self.address = _address(serial)
        self._connected = True
        self._check_is_up()

    def _start_unless_there(self) -> None:
        """Raises TransientDeviceError, OSError."""
        if smart_socket.answers(*self._place):
            return
        host, port = self._place
        if host not in LOOPBACK:
            raise TransientDeviceError(
                f"{self.device}: no adb server at {host}:{port}: start it there (`adb -a start-server`), or "
                "correct `server_host` in the device's file"
            )
        smart_socket.start(port)

    def _features(self, serial: str) -> Sequence[str]:
        # Asked of one that is there alone: of another, servers tell no features.
        try:
            features: str = self._client.device(serial).get_features()
        except (adbutils.AdbError, OSError) as error:
            raise self._missing(serial, {}, str(error)) from error
        return features.split(",")

    def _open_service(self, service: bytes) -> Stream:
        try:
            return smart_socket.open_stream(self._place, self._serial, service, timeout_s=OPEN_TIMEOUT_S)
        except smart_socket.RequestFailedError as error:
            if str(error) == _REFUSED and self._is_there():
                raise CommandRefusedError(str(error)) from error
            raise StreamLostError(str(error)) from error
        except OSError as error:
            raise StreamLostError(f"the adb server: {error.strerror or error}") from error

    def _is_there(self) -> bool:
        if not smart_socket.answers(*self._place):
            return False
        try:
            return bool(self._client.device(self._serial).get_state() == "device")
        except (adbutils.AdbError, OSError):
            return False

    def _missing(self, serial: str, states: dict[str, str], said: str) -> TransientDeviceError:
        if said:
            return unreachable(self.device, serial, said.strip().rpartition(": ")[2])
        return TransientDeviceError(
            f"{self.device}: no device {serial!r} at the adb server (there: {_listed(states)}): is it "
            "plugged in, and USB debugging on? `adb devices` lists what there is"
        )

    def _only(self, states: dict[str, str]) -> str:
        if len(states) == 1:
            return next(iter(states))
        if not states:
            raise TransientDeviceError(
                f"{self.device}: no phone at the adb server: plug one in and turn USB debugging on "
                "(Settings, Developer options), or give its `serial` as host:port"
            )
        raise DeviceError(
            f"{self.device}: {len(states)} phones are there ({_listed(states)}): say which by `serial` in "
            "its file"
        )


def _address(serial: str) -> str:
    return f"{serial} (adb server)"


def _listed(states: dict[str, str]) -> str:
    return ", ".join(f"{serial} ({state})" for serial, state in sorted(states.items())) or "none"
