"""How far files that are sent or fetched are, how fast they come and how long still, in words."""

import time
from collections.abc import Callable
from threading import Lock

MIB = 2**20
FEW = 10 * MIB
"""Amounts below this have a decimal."""
UNTOLD_S = 0.1
"""A rate that was taken over less time than this says nothing."""


class Pace:
    """Says how far each of several transfers is; any thread may tell.

    pace = Pace()
    pace.told("org/net", 3 * MIB, 12 * MIB)  # "3.0 of 12 MiB", and later also the rate and the time left
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._begun: dict[str, _Begun] = {}

    def told(self, what: str, done: int, total: int) -> str:
        """The words for `done` of `total` bytes of `what` (0: nobody knows how many there are)."""
        now = self._clock()
        with self._lock:
            begun = self._begun.get(what)
            if begun is None or begun.total != total or done < begun.latest:  # another one of that name
                begun = self._begun[what] = _Begun(now, done, total)
            begun.latest = done
        return _words(done, total, done - begun.done, now - begun.at)


class _Begun:
    """When a transfer began, how much there was by then, and how much there is."""

    def __init__(self, at: float, done: int, total: int) -> None:
        self.at, self.done, self.total, self.latest = at, done, total, done


def _words(done: int, total: int, come: int, seconds: float) -> str:
    amount = f"{_mib(done)} of {_mib(total)} MiB" if total else f"{_mib(done)} MiB"
    if not come or seconds < UNTOLD_S:
        return amount
    rate = come / seconds
    left = f", about {(total - done) / rate:.0f} s left" if total else ""
    return f"{amount}, {rate / MIB:.1f} MiB/s{left}"


def _mib(size: int) -> str:
    return f"{size / MIB:.1f}" if size < FEW else f"{size / MIB:.0f}"
