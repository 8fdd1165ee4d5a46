"""What every driver does the same way: `with device:`, and which commands there are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from devices.base import DeviceError


class Driver(ABC):
    """Open as long as a `with` block lasts."""

    name: str

    @abstractmethod
    def open(self) -> None:
        """Reach the device and take its lock; raises DeviceError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it; never raises."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_command(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Raise DeviceError when no process can be started with these words."""
        if not argv or any("\0" in word for word in (*argv, *env, *env.values())):
            raise DeviceError(f"{self.name}: cannot run {list(argv)!r}: it is empty or holds a NUL byte")
