"""A check of what goes through a connection: hashed here as it passes, and on a slow line there meanwhile."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

from devices.base import DeviceError
from devices.remote.beside import Beside

BLOCK_BYTES = 1 << 20
_SEGMENT_BYTES = 16 << 20
_FAST_BYTES_S = 250e6
"""On a line that is faster than that a device with few cores is slowed down by checking meanwhile."""


class PassingCheck:
    """Hashes what passes, and on a line that is not too fast has the other side do so meanwhile.

    `ask` takes a line for each segment that passed (first block, number of blocks, end in bytes) and returns
    the hash of all of them, or nothing. That is `found`, after the block. A block that fails breaks it off.
    """

    def __init__(self, ask: Callable[[Iterator[bytes]], str]) -> None:
        self.found = ""
        self._beside = Beside(ask)
        self._digest = hashlib.sha256()
        self._began = time.monotonic()
        self._position = self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._beside.abandon()
            return
        if self._beside.started and self._position > self._told:
            self._tell()
        with suppress(DeviceError):  # then it is checked at the end, or that says what is wrong
            self.found = self._beside.end() or ""

    @property
    def sha256(self) -> str:
        """Of all that passed."""
        return self._digest.hexdigest()

    def passed(self, chunk: bytes) -> None:
        """The next block was handed to the connection."""
        self._digest.update(chunk)
        self._position += len(chunk)
        if self._position % _SEGMENT_BYTES:
            return
        if not self._beside.started:
            if self._position / (time.monotonic() - self._began) > _FAST_BYTES_S:
                return
            self._beside.start()
        self._tell()

    def _tell(self) -> None:
        first, count = self._told // BLOCK_BYTES, -(-(self._position - self._told) // BLOCK_BYTES)
        self._beside.tell(b"%d %d %d\n" % (first, count, self._position))
        self._told = self._position
