"""One process holds a device at a time: two benchmarks on one machine measure each other."""

import logging
import os
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from devices.base import DeviceBusyError, DeviceError

if TYPE_CHECKING:
    from filelock import FileLock

_log = logging.getLogger(__name__)


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a device."""

    pid: int
    device: str
    since: str


class DeviceLock:
    """Lock of one machine, by its fingerprint, whatever names its device files give it.

    The lock is the kernel's: it ends with the process that holds it. The file beside it only says who.
    """

    def __init__(self, device: str, fingerprint: str, *, timeout_s: float) -> None:
        self.device = device
        self.timeout_s = timeout_s
        folder = _lock_directory()
        self._path = folder / f"{fingerprint}.lock"
        self._holder = folder / f"{fingerprint}.holder.json"
        self._lock: FileLock | None = None

    def acquire(self) -> None:
        """Take the lock; raises DeviceBusyError naming the holder when it is not free in time."""
        from filelock import FileLock, Timeout  # noqa: PLC0415 - costs tens of milliseconds to import

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._path, thread_local=False)
            if not _free_now(lock):
                self._wait(lock)
            self._lock = lock
            holder = Holder(pid=os.getpid(), device=self.device, since=_now())
            scratch = self._holder.with_name(f"{self._holder.name}.{os.getpid()}")
            scratch.write_bytes(msgspec.json.encode(holder))
            scratch.replace(self._holder)
        except Timeout:
            raise DeviceBusyError(
                f"{self.device}: held by {self._who()}; still so after waiting {self.timeout_s:g} s: "
                "let the other session finish, or stop it"
            ) from None
        except OSError as error:
            raise DeviceError(
                f"{self.device}: cannot lock it with {self._path}: {error.strerror}; "
                "set XDG_RUNTIME_DIR to a directory of yours that can be written"
            ) from error

    def release(self) -> None:
        """Give the lock back; fine when it is not held. Raises OSError."""
        lock, self._lock = self._lock, None
        if lock is not None:
            try:
                self._holder.unlink(missing_ok=True)
            finally:
                lock.release()

    def _wait(self, lock: "FileLock") -> None:
        _log.warning("%s: held by %s; waiting up to %g s", self.device, self._who(), self.timeout_s)
        lock.acquire(timeout=self.timeout_s, poll_interval=0.1)

    def _who(self) -> str:
        for _ in range(10):
            try:
                holder = msgspec.json.decode(self._holder.read_bytes(), type=Holder)
            except (OSError, msgspec.DecodeError):
                time.sleep(0.01)  # taken a moment ago: its holder is about to sign
                continue
            own = " (this very process)" if holder.pid == os.getpid() else ""
            return f"process {holder.pid}{own} as {holder.device!r} since {holder.since}"
        return "another process"


def _free_now(lock: "FileLock") -> bool:
    from filelock import Timeout  # noqa: PLC0415 - see acquire

    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _lock_directory() -> Path:
    from platformdirs import user_runtime_path  # noqa: PLC0415 - costs tens of milliseconds to import

    with warnings.catch_warnings():
        # It warns when it has to fall back to the temporary directory, which is all right here.
        warnings.simplefilter("ignore")
        return user_runtime_path("pocketbench")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
