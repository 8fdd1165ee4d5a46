"""The end of a session: comparative table, verdict counts, what went wrong, where the report is."""

import os
from collections.abc import Sequence
from datetime import datetime

import pytest
from rich.console import Console

from harness.plan import Plan
from harness.plugin.state import SessionState
from harness.results import StoredRun
from harness.spec import Measurement
from reports.tables import comparative_table, verdict_counts

PIPE_WIDTH = 120
"""Columns of the table where no terminal sets a limit: a log file, a pipe."""


def write_summary(
    reporter: pytest.TerminalReporter, stored: StoredRun, state: SessionState, plan: Plan
) -> None:
    """Write the summary of a run to the terminal."""
    if not stored.measurements:
        reporter.write_line("pocketbench: nothing was measured")
        return
    reporter.section("pocketbench")
    writer = reporter._tw  # noqa: SLF001 - no public way to its width and markup
    console = Console(
        width=max(writer.fullwidth, 80) if reporter.isatty else PIPE_WIDTH,
        force_terminal=writer.hasmarkup,
        no_color=not writer.hasmarkup,
        highlight=False,
    )
    with console.capture() as captured:
        console.print(comparative_table(stored.measurements))
        console.print(verdict_counts(stored.measurements))
    reporter.write(captured.get())
    missing = len(plan.targets) - len(stored.measurements)
    if missing > 0:
        reporter.write_line(
            f"{missing} of {len(plan.targets)} planned cases were not measured in this run; "
            f"--resume {stored.info.run_id} goes on from here"
        )
    for line in sent_lines(stored.measurements, since=datetime.fromisoformat(state.started_at)):
        reporter.write_line(line)
    for note in (*stored.notes, *state.notes):
        reporter.write_line(f"note: {note}")
    if state.report is not None:
        reporter.write_line(f"report: {os.path.relpath(state.report)}")


def sent_lines(measurements: Sequence[Measurement], *, since: datetime) -> list[str]:
    """What the session that began at `since` had to send to each device that is not this machine.

    A resumed run also holds what an earlier session measured; and a device that nothing came to, because it
    was away or none of its cases could be prepared, has no line.
    """
    totals: dict[str, int] = {}
    for measurement in measurements:
        remote = measurement.facts.get("driver", "local") != "local"
        staged = bool(measurement.launches or measurement.content_bytes_sent)
        if remote and staged and datetime.fromisoformat(measurement.started_at) >= since:
            before = totals.get(measurement.device, 0)
            totals[measurement.device] = before + measurement.content_bytes_sent
    return [
        f"sent to {device}: {total / 2**20:.1f} MiB of runtimes, models and feeds"
        if total
        else f"sent to {device}: 0 bytes of runtimes, models and feeds, everything was there"
        for device, total in totals.items()
    ]
