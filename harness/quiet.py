"""Whose turn it is on this machine when several devices are measured at once and it is one of them."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


class Quiet:
    """A lock that the processes of one run share: timing on this machine holds it, and so does work for
    another device that would be felt here, such as hashing and encrypting what is pushed.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    @contextmanager
    def turn(self) -> Generator[None, None, None]:
        """Wait for the others to finish theirs, then keep them waiting."""
        with self._lock:
            yield
