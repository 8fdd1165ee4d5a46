"""What every driver does the same way: `with device:`, what may be run and removed, what pinning needs."""

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

from devices.base import DeviceError
from devices.wording import cpu_list


class Driver(ABC):
    """Open as long as a `with` block lasts."""

    name: str
    workdir: str
    cpus: tuple[int, ...] | None

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

    def _check_removable(self, path: str) -> None:
        """Raise DeviceError for a place, absolute and normal, that the work directory lies in."""
        if posixpath.commonpath([self.workdir, path]) == path and path != self.workdir:
            raise DeviceError(f"{self.name}: will not remove {path}: the work directory lies in it")

    def _check_pinnable(self, available: Collection[int], told: str) -> None:
        """Raise DeviceError when `cpus` are not all among `available`; `told` says who has only those."""
        if self.cpus is not None and not set(self.cpus) <= set(available):
            raise DeviceError(
                f"{self.name}: cannot pin to CPUs {cpu_list(self.cpus)}: {told} {cpu_list(available)}; "
                "correct `cpus` in the device's file"
            )

    def _not_open(self) -> DeviceError:
        return DeviceError(f"{self.name}: is not open; use it inside `with device:`")

    def _open_already(self) -> DeviceError:
        return DeviceError(f"{self.name}: is open already")
