"""Progress of one long piece of work: a bar on a terminal, a plain line now and then elsewhere, on stderr."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_EVERY_S = 10.0


class Stages:
    """Says which stage the work is in, how far that is and how long it still takes.

    with Stages() as stages:
        stages.report("compiling", 3, 700)
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._stage = ""
        self._began = self._told = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def report(self, stage: str, done: int, total: int) -> None:
        """Tell that `done` steps of `stage`'s `total` are done (0: how many is not known)."""
        begins = stage != self._stage
        if begins:
            self._stage, self._began = stage, time.monotonic()
        if self._console.is_terminal:
            self._draw(done, total, begins=begins)
        else:
            self._tell(done, total, begins=begins)

    def _draw(self, done: int, total: int, *, begins: bool) -> None:
        if begins:
            for over in self._bar.task_ids:
                self._bar.remove_task(over)
            self._bar.add_task(self._stage, total=None)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total or None)

    def _tell(self, done: int, total: int, *, begins: bool) -> None:
        now = time.monotonic()
        if begins or now - self._told > PLAIN_EVERY_S:
            left = (now - self._began) / done * (total - done) if done and not begins else None
            amount = f" {done}/{total}" if total else ""
            self._console.print(
                f"{self._stage}{amount}{f', about {left:.0f} s left' if left is not None else ''}",
                markup=False,
            )
            self._told = now
