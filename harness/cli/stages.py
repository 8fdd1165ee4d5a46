"""Progress of one long piece of work: a bar on a terminal, a plain line now and then elsewhere, on stderr."""

import time
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from harness.pace import Pace

PLAIN_EVERY_S = 10.0


class Stages:
    """Says which stage the work is in, how far that is and how long it still takes.

    with Stages() as stages:
        stages.report("compiling", 3, 700)
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            console=self._console,
            transient=True,
            # What goes to standard output stays there, also when that is no terminal.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._stage = ""
        self._began = self._told = time.monotonic()
        self._pace, self._lock = Pace(), Lock()

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
        now, begins = time.monotonic(), stage != self._stage
        if begins:
            self._stage, self._began = stage, now
        amount = f"{done}/{total}" if total else ""
        if done and not begins:
            amount += f", about {(now - self._began) / done * (total - done):.0f} s left"
        with self._lock:
            if self._console.is_terminal:
                self._draw(stage, amount, done, total)
            elif begins or now - self._told > PLAIN_EVERY_S:
                self._tell(f"{stage} {amount}".strip())

    def downloading(self, what: str, done: int, total: int) -> None:
        """Tell that `done` bytes of `what`'s `total` are here (0: how many is not known); from any thread."""
        amount = self._pace.told(what, done, total)
        with self._lock:
            if self._console.is_terminal:
                if 0 < total <= done:  # what it was fetched for goes on
                    self._draw(self._stage, "", 0, 0)
                else:
                    self._draw(f"downloading {what}", amount, done, total)
            elif time.monotonic() - self._told > PLAIN_EVERY_S:
                self._tell(f"downloading {what}: {amount}")

    def _draw(self, description: str, amount: str, done: int, total: int) -> None:
        tasks = self._bar.tasks
        if not tasks or tasks[0].description != description:
            for over in self._bar.task_ids:
                self._bar.remove_task(over)
            self._bar.add_task(description, total=None, amount="")
        self._bar.update(self._bar.task_ids[0], completed=done, total=total or None, amount=amount)

    def _tell(self, text: str) -> None:
        self._console.print(text, markup=False)
        self._told = time.monotonic()
