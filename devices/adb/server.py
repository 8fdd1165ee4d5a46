"""A device through Google's adb server, which shares it with other users of the phone.

adbutils carries the server, which is started when none runs. Its own Python has traps (no exit code without
v2, no stdin, waits without end), so we speak to the server ourselves. Source: AOSP, packages/modules/adb:
SERVICES.TXT, OVERVIEW.TXT.
"""

from collections.abc import Sequence

from devices.adb import smart_socket
from devices.adb.stream import Stream, StreamLostError
from devices.adb.transport import (
    OPEN_TIMEOUT_S,
    AdbTransport,
    CommandRefusedError,
    unreachable,
)
from devices.base import DeviceError, TransientDeviceError

ANSWER_TIMEOUT_S = 25.0
"""How long a server may take to answer.

Longer than the 10 s for which it waits itself for a phone that says nothing, which it can then tell us of
(AOSP, packages/modules/adb/transport.cpp, register_socket_transport).
"""
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

    def connect(self) -> None:
        """Find the device at the server; raises DeviceError, TransientDeviceError with what to do."""
        self.close()
        try:
            self._start_unless_there()
            said = self._let_it_connect()
            states = _states(self._ask("host:devices"))
        except smart_socket.NotAServerError as error:
            host, port = self._place
            raise DeviceError(
                f"{self.device}: what listens at {host}:{port} is no adb server ({error}): correct "
                "`server_port` in the device's file, or end that program"
            ) from error
        except (smart_socket.RequestFailedError, OSError) as error:
            raise self._silent(error) from error
        serial = self._wanted or self._only(states)
        state = states.get(serial)
        if state is None:
            raise self._missing(serial, states, said)
        self._check(serial, state=state, features=self._features(serial) if state == "device" else ())
        self._serial = serial
        self.address = _address(serial)
        self._connected = True
        self._check_is_up()

    def _start_unless_there(self) -> None:
        """Raises TransientDeviceError, OSError."""
        if not smart_socket.is_absent(self._place):
            return
        host, port = self._place
        if host not in LOOPBACK:
            raise TransientDeviceError(
                f"{self.device}: no adb server at {host}:{port}: start it there (`adb -a start-server`), or "
                "correct `server_host` in the device's file"
            )
        smart_socket.start(port)

    def _let_it_connect(self) -> str:
        """What the server says of connecting to a phone at host:port; nothing for all others."""
        if not (self._wanted and ":" in self._wanted):
            return ""
        try:
            return self._ask(f"host:connect:{self._wanted}")
        except TimeoutError:
            # It need not be the server that is silent: it waits for a network's answer for minutes. What has
            # become of the phone, and whether the server lives, is told by the next question.
            return f"no answer within {ANSWER_TIMEOUT_S:g} s"

    def _features(self, serial: str) -> Sequence[str]:
        # Asked of one that is there alone: of another, servers tell no features.
        try:
            return self._ask(f"host-serial:{serial}:features").split(",")
        except smart_socket.RequestFailedError as error:
            raise self._missing(serial, {}, str(error)) from error
        except OSError as error:
            raise self._silent(error) from error

    def _ask(self, request: str) -> str:
        return smart_socket.ask(self._place, request, timeout_s=ANSWER_TIMEOUT_S)

    def _open_service(self, service: bytes) -> Stream:
        try:
            return smart_socket.open_stream(self._place, self._serial, service, timeout_s=OPEN_TIMEOUT_S)
        except smart_socket.RequestFailedError as error:
            if str(error) == _REFUSED and self._is_there():
                raise CommandRefusedError(str(error)) from error
            raise StreamLostError(str(error)) from error
        except OSError as error:
            raise StreamLostError(f"the adb server: {_reason(error)}") from error

    def _is_there(self) -> bool:
        try:
            return self._ask(f"host-serial:{self._serial}:get-state") == "device"
        except (smart_socket.RequestFailedError, OSError):
            return False

    def _silent(self, error: Exception) -> TransientDeviceError:
        host, port = self._place
        then = "and try again" if host in LOOPBACK else "there, or correct `server_host` in the device's file"
        return TransientDeviceError(
            f"{self.device}: the adb server at {host}:{port} does not answer ({_reason(error)}): "
            f"`adb kill-server` {then}"
        )

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


def _states(listed: str) -> dict[str, str]:
    """State by serial; `no permissions (missing udev rules? ...)` without the guess in parentheses."""
    rows = (line.split("\t", 1) for line in listed.splitlines() if "\t" in line)
    return {serial: state.partition(" (")[0] for serial, state in rows}


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _listed(states: dict[str, str]) -> str:
    return ", ".join(f"{serial} ({state})" for serial, state in sorted(states.items())) or "none"
