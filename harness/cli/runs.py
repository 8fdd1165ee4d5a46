"""`pocketbench runs`: what has been measured."""

from rich.table import Table
from rich.text import Text

from harness.cli.arguments import Results, console, store


def runs(results_dir: Results = None) -> None:
    """List the runs, newest first."""
    from reports.tables import verdict_counts

    found = store(results_dir)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("run", "started", "devices", "effort", "cases", "verdicts"):
        table.add_column(column)
    ids = found.run_ids()
    for run_id in reversed(ids):
        run = found.load(run_id)
        table.add_row(
            run_id,
            run.info.started_at[:19].replace("T", " "),
            Text(", ".join(run.info.devices)),
            run.info.effort,
            f"{len(run.measurements)}/{run.info.planned}",
            verdict_counts(run.measurements),
        )
    if not ids:
        found.resolve("last")
    console().print(table)
