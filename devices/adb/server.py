"""A device through Google's adb server, which shares it with other users of the phone.

adbutils carries the server and starts it when none runs. What it offers for commands has traps (no exit code
without v2, no stdin), so commands go over the raw stream. Source: AOSP, packages/modules/adb/SERVICES.TXT.
"""

import time
from collections.abc import Iterable
from contextlib import suppress

import adbutils

from devices.adb.shell_v2 import STDERR, STDOUT, ShellStream, StreamLostError
from devices.base import DeviceError, TransientDeviceError
from devices.remote.transport import Finished, NotFinishedError, Sink

OPEN_TIMEOUT_S = 30.0

STATES = {
    "unauthorized": "it does not know this computer's key: unlock it and accept the question on its screen",
    "offline": "it is offline: pull the cable and plug it in again, or restart adb on it",
    "no permissions": "this user may not talk to USB devices: install Android's udev rules",
    "authorizing": "it is still asking whether it trusts this computer: look at its screen",
    "recovery": "it is in recovery: start Android on it",
    "bootloader": "it is in its bootloader: start Android on it",
    "sideload": "it is in sideload mode: start Android on it",
}


class AdbServerConnection:
    """A Transport through an adb server. `serial` None means the only device there is."""

    def __init__(
        self, device: str, serial: str | None, *, server_host: str = "127.0.0.1", server_port: int = 5037
    ) -> None:
        self.device = device
        self.address = serial or "the only phone"
        self._serial = serial
        self._client = adbutils.AdbClient(host=server_host, port=server_port)
        self._connected = False
        self._held: list[HeldStream] = []

    @property
    def connected(self) -> bool:
        """Whether the device was there at the last look; the next command finds out."""
        return self._connected

    def connect(self) -> None:
        """Find the device at the server; raises DeviceError, TransientDeviceError with what to do."""
        self.close()
        try:
            if self._serial and ":" in self._serial:
                self._client.connect(self._serial, timeout=10.0)
            states = {found.serial: found.state for found in self._client.list()}
        except (adbutils.AdbError, OSError) as error:
            raise TransientDeviceError(
                f"{self.device}: the adb server does not answer ({error}): `adb kill-server` and try again"
            ) from error
        serial = self._serial or self._only(states)
        state = states.get(serial)
        if state is None:
            raise TransientDeviceError(
                f"{self.device}: no device {serial!r} at the adb server (there: {_listed(states)}): is it "
                "plugged in, and USB debugging on? `adb devices` lists what there is"
            )
        if state != "device":
            advice = STATES.get(state, f"adb says it is {state!r}")
            kind = TransientDeviceError if state in {"offline", "authorizing"} else DeviceError
            raise kind(f"{self.device}: {serial}: {advice}")
        self.address = serial
        self._connected = True

    def close(self) -> None:
        """Let go of the device; never raises. The server goes on: it is not ours alone."""
        held, self._held = self._held, []
        for stream in held:
            stream.close()
        self._connected = False

    def execute(
        self, line: str, *, stdin: Iterable[bytes] = (), sink: Sink | None = None, timeout_s: float
    ) -> Finished:
        """See Transport.execute."""
        out: list[bytes] = []
        err: list[bytes] = []
        takes = {STDOUT: sink or out.append, STDERR: err.append}
        connection = self._open(line)
        try:
            stream = ShellStream(connection.conn)
            deadline = time.monotonic() + timeout_s
            if not stream.talk(stdin, lambda kind, data: takes[kind](data), deadline=deadline):
                raise NotFinishedError(b"".join(out), b"".join(err))
            return Finished(exit_code=stream.exit_code, stdout=b"".join(out), stderr=b"".join(err))
        except StreamLostError as error:
            raise self._lost(str(error)) from error
        finally:
            connection.close()

    def hold(self, line: str, *, until: bytes, timeout_s: float) -> tuple["HeldStream", bytes]:
        """See Transport.hold."""
        printed = bytearray()

        def take(kind: int, data: bytes) -> None:
            if kind == STDOUT:
                printed.extend(data)

        connection = self._open(line)
        try:
            stream = ShellStream(connection.conn)
            in_time = stream.talk_open(
                take, deadline=time.monotonic() + timeout_s, until=lambda: until in printed
            )
        except StreamLostError as error:
            connection.close()
            raise self._lost(str(error)) from error
        except BaseException:
            connection.close()
            raise
        if not in_time:
            connection.close()
            raise TransientDeviceError(f"{self.device}: no answer within {timeout_s:g} s")
        held = HeldStream(connection, stream)
        self._held.append(held)
        return held, bytes(printed)

    def _open(self, line: str) -> adbutils.AdbConnection:
        if not self._connected:
            raise self._lost("it was not reached")
        connection: adbutils.AdbConnection | None = None
        try:
            connection = self._client.make_connection(timeout=OPEN_TIMEOUT_S)
            for command in (f"host:transport:{self.address}", f"shell,v2,raw:{line}"):
                connection.send_command(command)
                connection.check_okay()
        except (adbutils.AdbError, OSError, EOFError) as error:
            if connection is not None:
                connection.close()
            raise self._lost(str(error)) from error
        return connection

    def _lost(self, reason: str) -> TransientDeviceError:
        self._connected = False
        return TransientDeviceError(
            f"{self.device}: the connection to {self.address} is lost ({reason}): is it on, and the cable in?"
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


class HeldStream:
    """A command that lives until it is let go."""

    def __init__(self, connection: adbutils.AdbConnection, stream: ShellStream) -> None:
        self._connection = connection
        self._stream = stream

    def close(self) -> None:
        """Let the command see the end of its input, and wait a moment for its end."""
        if self._connection.closed:
            return
        with suppress(OSError, StreamLostError):
            self._stream.close_stdin()
            self._stream.talk_open(lambda _kind, _data: None, deadline=time.monotonic() + 2.0)
        self._connection.close()


def _listed(states: dict[str, str]) -> str:
    return ", ".join(f"{serial} ({state})" for serial, state in sorted(states.items())) or "none"
