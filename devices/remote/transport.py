"""What carries commands to a device: the contract between a connection and the device above it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

Sink = Callable[[bytes], None]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A command line that came to its end. `exit_code` is None when a signal ended the device's shell."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes


class NotFinishedError(Exception):
    """The time is over and the command still runs, there, where only another command can end it."""

    def __init__(self, stdout: bytes, stderr: bytes) -> None:
        super().__init__("the command did not end in time")
        self.stdout = stdout
        self.stderr = stderr


class Held(Protocol):
    """A command that runs for as long as it is held."""

    def close(self) -> None:
        """Let it go: it sees the end of its input; never raises."""
        ...


class FileService(Protocol):
    """A connection's own way with files, quicker than a command; it neither checks nor renames."""

    def send_file(self, content: Iterable[bytes], remote: str, *, timeout_s: float) -> None:
        """Write the file `remote`, an absolute path, anew.

        Raises FileRefusedError with the device's reason, TransientDeviceError.
        """
        ...

    def receive_file(self, remote: str, sink: Callable[[memoryview], object], *, timeout_s: float) -> None:
        """Hand out the content of `remote` as it comes, in views that hold for the call alone.

        Raises as `send_file` does.
        """
        ...


class FileRefusedError(Exception):
    """The device cannot read or write the file; the text is its reason."""


class Transport(Protocol):
    """A connection that can be made again. Errors are DeviceError and TransientDeviceError, as ever."""

    address: str
    """Where it leads, for messages: `pi@rpi5.local:22`."""

    @property
    def connected(self) -> bool:
        """Whether commands can be sent now."""
        ...

    @property
    def file_service(self) -> FileService | None:
        """How big files go, where a command is not the quickest way."""
        ...

    def connect(self) -> None:
        """Reach the device and prove who we are; one attempt."""
        ...

    def close(self) -> None:
        """Hang up; never raises."""
        ...

    def execute(
        self, line: str, *, stdin: Iterable[bytes] = (), sink: Sink | None = None, timeout_s: float
    ) -> Finished:
        """Run a line for the device's shell to its end; `sink` takes stdout as it comes.

        Raises NotFinishedError after `timeout_s` without the command's end; it then still runs. Raises
        TransientDeviceError when the connection is lost, or moves no byte for too long, and when the command
        alone was broken off, on a connection that then still is `connected`.
        """
        ...

    def hold(self, line: str, *, until: bytes, timeout_s: float) -> tuple[Held, bytes]:
        """Start a line and return once its stdout holds `until` or it has ended, with that stdout."""
        ...
