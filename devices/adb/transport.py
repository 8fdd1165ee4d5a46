"""What every way to a phone does alike: commands over its streams, and what is told when they end badly."""

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from devices.adb import sync
from devices.adb.shell_v2 import STDERR, STDOUT, ShellStream
from devices.adb.stream import Stream, StreamLostError
from devices.base import DeviceError, TransientDeviceError
from devices.remote.transport import FileRefusedError, FileService, Finished, NotFinishedError, Sink

OPEN_TIMEOUT_S = 30.0
"""How long a phone may take to start a command."""
CONNECT_TIMEOUT_S = 10.0
LONGEST_LINE_BYTES = 65_000
"""An adb server takes four hexadecimal digits of length, and `sh -c` on the phone no more than twice that."""

LONGEST_PATH_BYTES = 1000
"""adbd's sync service takes 1,024 with the mode."""

NEEDED_FEATURE = "shell_v2"
_BOOT_STATE = 'echo "$(getprop ro.build.version.sdk)/$(getprop sys.boot_completed)"'
STATES = {
    "unauthorized": "it does not know this computer's key: unlock it and accept the question on its screen",
    "offline": "it is offline: pull the cable and plug it in again, or restart adb on it",
    "no permissions": "this user may not talk to USB devices: install Android's udev rules",
    "authorizing": "it is still asking whether it trusts this computer: look at its screen",
    "recovery": "it is in recovery: start Android on it",
    "bootloader": "it is in its bootloader: start Android on it",
    "sideload": "it is in sideload mode: start Android on it",
}


class CommandRefusedError(Exception):
    """The phone answers, and does not start the command."""


class AdbTransport(ABC):
    """A Transport whose commands are streams of adb's; how they come about is the subclass's."""

    def __init__(self, device: str, address: str) -> None:
        self.device = device
        self.address = address
        self._connected = False
        self._held: list[HeldStream] = []
        self._judging = threading.Lock()

    @property
    def connected(self) -> bool:
        """Whether the device was there at the last look; the next command finds out."""
        return self._connected

    @property
    def file_service(self) -> FileService:
        """adb's own service for files."""
        return self

    @abstractmethod
    def connect(self) -> None:
        """Reach the device and prove who we are; raises DeviceError, TransientDeviceError."""

    @abstractmethod
    def _open_service(self, service: bytes) -> Stream:
        """A stream to a service; raises StreamLostError, CommandRefusedError."""

    @abstractmethod
    def _is_there(self) -> bool:
        """Whether the device can still be reached, as far as is known; never raises."""

    def close(self) -> None:
        """Let go of the device; never raises."""
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
        stream = self._open(line)
        try:
            shell = ShellStream(stream)
            deadline = time.monotonic() + timeout_s
            if not shell.talk(stdin, lambda kind, data: takes[kind](data), deadline=deadline):
                raise NotFinishedError(b"".join(out), b"".join(err))
            return Finished(exit_code=shell.exit_code, stdout=b"".join(out), stderr=b"".join(err))
        except StreamLostError as error:
            raise self._cut(str(error)) from error
        finally:
            stream.close()

    def hold(self, line: str, *, until: bytes, timeout_s: float) -> tuple["HeldStream", bytes]:
        """See Transport.hold."""
        printed = bytearray()

        def take(kind: int, data: bytes) -> None:
            if kind == STDOUT:
                printed.extend(data)

        stream = self._open(line)
        try:
            shell = ShellStream(stream)
            deadline = time.monotonic() + timeout_s
            in_time = shell.talk_open(take, deadline=deadline, until=lambda: until in printed)
        except StreamLostError as error:
            stream.close()
            raise self._cut(str(error)) from error
        except BaseException:
            stream.close()
            raise
        if not in_time:
            stream.close()
            raise TransientDeviceError(f"{self.device}: no answer within {timeout_s:g} s")
        held = HeldStream(stream, shell)
        self._held.append(held)
        return held, bytes(printed)

    def send_file(self, content: Iterable[bytes], remote: str, *, timeout_s: float) -> None:
        """See FileService.send_file."""
        deadline = time.monotonic() + timeout_s
        with self._syncing(remote, timeout_s) as stream:
            sync.send(stream, content, os.fsencode(remote), deadline=deadline)

    def receive_file(self, remote: str, sink: Callable[[memoryview], object], *, timeout_s: float) -> None:
        """See FileService.receive_file."""
        deadline = time.monotonic() + timeout_s
        with self._syncing(remote, timeout_s) as stream:
            sync.receive(stream, os.fsencode(remote), sink, deadline=deadline)

    @contextmanager
    def _syncing(self, remote: str, timeout_s: float) -> Iterator[Stream]:
        if len(os.fsencode(remote)) > LONGEST_PATH_BYTES:
            raise FileRefusedError("File name too long")
        stream = self._opened(b"sync:")
        try:
            yield stream
        except sync.SyncRefusedError as error:
            raise FileRefusedError(str(error)) from error
        except sync.SyncTimeoutError:
            raise TransientDeviceError(
                f"{self.device}: {remote} did not go through within {timeout_s:g} s; is the line that slow?"
            ) from None
        except StreamLostError as error:
            raise self._cut(str(error)) from error
        finally:
            stream.close()

    def _open(self, line: str) -> Stream:
        command = os.fsencode(line)  # names there need not be UTF-8
        if len(command) > LONGEST_LINE_BYTES:
            raise DeviceError(
                f"{self.device}: a command of {len(command)} bytes is too long for adb, which takes "
                f"{LONGEST_LINE_BYTES}: put its arguments in a file"
            )
        return self._opened(b"shell,v2,raw:" + command)

    def _opened(self, service: bytes) -> Stream:
        if not self.connected:
            raise self._lost("it was not reached")
        try:
            return self._open_service(service)
        except StreamLostError as error:
            raise self._lost(str(error)) from error
        except CommandRefusedError as error:
            raise TransientDeviceError(
                f"{self.device}: {self.address} starts no more commands: is its process table or memory full?"
            ) from error

    def _check(self, serial: str, *, state: str, features: Iterable[str]) -> None:
        """Whether it is an Android that can be worked with; raises DeviceError, TransientDeviceError."""
        if state != "device":
            raise unfit(self.device, serial, state)
        if NEEDED_FEATURE not in features:
            raise DeviceError(
                f"{self.device}: {serial} tells no exit codes over adb (it has no {NEEDED_FEATURE}): "
                "Android 7 or newer is needed"
            )

    def _check_is_up(self) -> None:
        """adbd answers long before Android does, and nothing is as busy as a phone that starts.

        Raises TransientDeviceError.
        """
        try:
            done = self.execute(_BOOT_STATE, timeout_s=OPEN_TIMEOUT_S)
            # What tells no API level is no Android, or has nothing to tell, and is taken as it is.
            level, _, completed = done.stdout.strip().partition(b"/")
            is_up = not level.isdigit() or completed == b"1"
        except NotFinishedError:
            is_up = False
        if not is_up:
            self.close()
            raise TransientDeviceError(
                f"{self.device}: {self.address} is still starting Android: wait until it is up"
            )

    def _cut(self, reason: str) -> TransientDeviceError:
        """The error for a stream that ended too early, alone or with all the others."""
        with self._judging:
            # A server may have reached the phone again meanwhile; what was held there has ended then.
            if not (self.connected and self._is_there()) or any(held.was_lost() for held in self._held):
                return self._lost(reason)
        return TransientDeviceError(
            f"{self.device}: {self.address} broke a command off ({reason}), and is still there: was the "
            "command's shell killed?"
        )

    def _lost(self, reason: str) -> TransientDeviceError:
        self._connected = False
        return TransientDeviceError(
            f"{self.device}: the connection to {self.address} is lost ({reason}): is it on, and the cable in?"
        )


class HeldStream:
    """A command that lives until it is let go."""

    def __init__(self, stream: Stream, shell: ShellStream) -> None:
        self._stream = stream
        self._shell = shell
        self._is_open = True

    def was_lost(self) -> bool:
        """Whether it has ended without having been let go."""
        if not self._is_open:
            return False
        try:
            return self._shell.has_ended()
        except StreamLostError:
            return True

    def close(self) -> None:
        """Let the command see the end of its input, and wait a moment for its end."""
        if not self._is_open:
            return
        self._is_open = False
        with suppress(StreamLostError):
            self._shell.finish(deadline=time.monotonic() + 2.0)
        self._stream.close()


def unfit(device: str, serial: str, state: str) -> DeviceError:
    """The error for a phone in a state in which it takes no commands, as `adb devices` calls it."""
    kind = TransientDeviceError if state in {"offline", "authorizing"} else DeviceError
    return kind(f"{device}: {serial}: {STATES.get(state, f'adb says it is {state!r}')}")


def unreachable(device: str, serial: str, reason: str) -> TransientDeviceError:
    """The error for an address at which nobody takes a connection."""
    return TransientDeviceError(
        f"{device}: {serial} cannot be reached ({reason}): is it on and in this network? `adb tcpip "
        f"{serial.rpartition(':')[2]}` over USB makes it listen"
    )
