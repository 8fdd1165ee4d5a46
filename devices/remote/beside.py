"""A call to the device that goes on in a thread beside a transfer, and ends when that does."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar

from devices.base import DeviceError

Result = TypeVar("Result")


class _AbandonedError(DeviceError):
    """What the call was for has failed."""


class Beside(Generic[Result]):
    """Runs `call`, whose standard input lives until `end`; after `abandon` it is broken off.

    Use it from one thread. `call` takes its input as an iterator, which is what lets go of the device.
    """

    def __init__(self, call: Callable[[Iterator[bytes]], Result]) -> None:
        self._call = call
        self._lines: SimpleQueue[bytes | _AbandonedError | None] = SimpleQueue()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="beside")
        self._running: Future[Result] | None = None

    @property
    def started(self) -> bool:
        """Whether the call was begun."""
        return self._running is not None

    def start(self) -> None:
        """Begin the call, once."""
        if self._running is None:
            self._running = self._pool.submit(self._call, self._told())

    def tell(self, line: bytes) -> None:
        """Let the call read a line."""
        self._lines.put(line)

    def end(self) -> Result | None:
        """Let it come to its end; what it returned, None when it was not begun. Raises what it did."""
        self._lines.put(None)
        self._pool.shutdown()
        return self._running.result() if self._running is not None else None

    def abandon(self) -> None:
        """Break it off; never raises."""
        self._lines.put(_AbandonedError("given up"))
        self._pool.shutdown()

    def _told(self) -> Iterator[bytes]:
        while (line := self._lines.get()) is not None:
            if isinstance(line, _AbandonedError):
                raise line
            yield line
