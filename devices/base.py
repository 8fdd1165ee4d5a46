"""The contract every driver keeps, and the two families of errors.

Life cycle: a device is created from its inventory file (nothing is reached), opened (`with device:`),
used by one process at a time, closed. Facts and telemetry may be asked before. Everything that takes a path
on the device takes a string.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from devices.facts import Facts
from devices.telemetry import Telemetry

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""

NotStarted = Literal["directory", "program", "permission", "format", "pinning", "other"]


class DeviceError(Exception):
    """Stays wrong however often it is tried: wrong key, no space, not executable."""


class TransientDeviceError(DeviceError):
    """May work when tried again: connection lost, device busy."""


class DeviceBusyError(TransientDeviceError):
    """Another session holds the device, for longer than we were to wait."""


class DeviceAwayError(DeviceError):
    """The device was there, is gone, and was waited for in vain."""


class NotStartedError(DeviceError):
    """A command could not be started; `cause` is what it lacked: there, allowed, made for the device."""

    def __init__(self, message: str, cause: NotStarted) -> None:
        super().__init__(message)
        self.cause = cause


class CommandTimeoutError(DeviceError):
    """A command outlived its timeout; it and all its children are gone from the device."""

    def __init__(self, message: str, *, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__(message)
        self.stdout = stdout
        self.stderr = stderr


@dataclass(frozen=True, kw_only=True)
class Completed:
    """How a command ended. `exit_code` is 128 + number when a signal killed it, as shells say it."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    signal: str | None = None


class NotBroughtBackError(DeviceError):
    """A command came to its end, as `completed` tells, and what it wrote cannot be brought back."""

    def __init__(self, message: str, completed: Completed) -> None:
        super().__init__(message)
        self.completed = completed


class Device(Protocol):
    """A machine that programs can be run on."""

    name: str
    workdir: str
    emulated: bool
    cpus: tuple[int, ...] | None
    cooldown_celsius: float | None

    def open(self) -> None:
        """Reach the device and take its lock; raises DeviceError."""
        ...

    def close(self) -> None:
        """Let go of it; never raises."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
    ) -> Completed:
        """Run `argv` (never a shell line) to its end.

        Raises CommandTimeoutError when it outlived `timeout_s`, after killing it with all its children.
        """
        ...

    def work(
        self,
        argv: Sequence[str],
        *,
        texts: Mapping[str, str],
        env: Mapping[str, str] | None = None,
        local: Path,
        timeout_s: float = 60.0,
    ) -> Completed:
        """`run` in a new folder that holds the small files `texts`, by name, and bring the folder back.

        It comes as `local`, however the command ended, and is gone from the device; all in one round trip
        where the device is remote. Raises what `run` raises, after bringing back what there is, and
        NotBroughtBackError when the command came to its end and the folder cannot be had.
        """
        ...

    def stage(self, local: Path, digest: str, *, progress: Progress | None = None) -> str:
        """Make the file or tree `local`, whose content hash is `digest`, readable on the device.

        Returns its path there. What the device has already is not sent again.
        """
        ...

    def stage_all(
        self, contents: Sequence[tuple[Path, str]], *, progress: Progress | None = None
    ) -> list[str]:
        """`stage` for several; those that the device has are found in one round trip."""
        ...

    @property
    def content_bytes_sent(self) -> int:
        """Bytes of content that staging had to send since `open`."""
        ...

    def make_directory(self, remote: str) -> None:
        """Create a directory and its parents."""
        ...

    def push(self, local: Path, remote: str, *, progress: Progress | None = None) -> None:
        """Copy a file or tree to the device: temporary name, checked, then renamed."""
        ...

    def pull(self, remote: str, local: Path, *, progress: Progress | None = None) -> None:
        """Copy a file or tree from the device: temporary name, checked, then renamed."""
        ...

    def remove(self, remote: str) -> None:
        """Delete a file or tree; one that is not there is no error."""
        ...

    def facts(self) -> Facts:
        """What the device is."""
        ...

    def telemetry(self) -> Telemetry:
        """How it feels now."""
        ...
