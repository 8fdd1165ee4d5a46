"""Progress of long work: a line that is rewritten on a terminal, a plain line now and then elsewhere."""

import time
from threading import Lock
from types import TracebackType
from typing import Self

import pytest

from harness.pace import Pace

PLAIN_EVERY_S = 10.0
SHOWN_EVERY_S = 0.2


class Progress:
    """Says what is going on, how far it is and how long it still takes.

    On a terminal the line is rewritten and gone at the end; elsewhere a line comes every ten seconds.
    Quiet with `-q` and in the workers of a parallel session.
    """

    def __init__(self, config: pytest.Config, what: str) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        quiet = reporter is None or config.option.verbose < 0 or hasattr(config, "workerinput")
        self._reporter = None if quiet else reporter
        self._terminal = reporter is not None and reporter._tw.hasmarkup  # noqa: SLF001 - no public way
        self._what = what
        self._began = self._told = self._shown_at = time.monotonic()
        self._pace, self._lock = Pace(), Lock()
        self._shown = False

    def __enter__(self) -> Self:
        if self._terminal:
            self._rewrite(f"{self._what} ...")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._rewrite("")

    def update(self, done: int, total: int, item: str) -> None:
        """Tell that `done` of `total` are done, `item` being the latest."""
        left = (time.monotonic() - self._began) / done * (total - done)
        self._tell(f"{self._what} {done}/{total} {item}, about {left:.0f} s left")

    def sending(self, done: int, total: int) -> None:
        """Tell that `done` of `total` bytes have been sent."""
        self._now_and_then(f"{self._what}: sent {self._pace.told('', done, total)}")

    def downloading(self, what: str, done: int, total: int) -> None:
        """Tell that `done` bytes of `what`'s `total` are here (0: how many is not known); from any thread."""
        amount = self._pace.told(what, done, total)
        if 0 < total <= done and self._terminal:  # what it was fetched for goes on
            self._tell(f"{self._what} ...")
        else:
            self._now_and_then(f"{self._what}: downloading {what}, {amount}")

    def _now_and_then(self, text: str) -> None:
        now = time.monotonic()
        if now - self._shown_at > SHOWN_EVERY_S:
            self._shown_at = now
            self._tell(text)

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        with self._lock:
            if self._terminal:
                self._rewrite(text)
            elif now - self._told > PLAIN_EVERY_S and self._reporter is not None:
                self._reporter.ensure_newline()
                self._reporter.write_line(text)
                self._told = now

    def finish(self, text: str) -> None:
        """Leave a line that says what was done and how long it took."""
        if self._reporter is not None:
            if self._shown:
                self._rewrite("")
            self._reporter.ensure_newline()
            self._reporter.write_line(f"{self._what}: {text} ({time.monotonic() - self._began:.1f} s)")

    def _rewrite(self, text: str) -> None:
        if self._reporter is not None:
            width = self._reporter._tw.fullwidth - 1  # noqa: SLF001 - no public way
            self._reporter.write(f"\r\033[K{text[:width]}", flush=True)
            self._shown = bool(text)
