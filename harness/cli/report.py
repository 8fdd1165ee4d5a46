"""`pocketbench report`: make a run's page again."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.arguments import LastRun, Results, RunName, store


def report(
    run: RunName = LastRun,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: in the run.")] = None,
    results_dir: Results = None,
) -> None:
    """Write the HTML page of RUN and print its path."""
    from reports.page import write_page

    stored = store(results_dir).load(run)
    path = output or stored.directory / "report.html"
    write_page(path, stored.info, stored.measurements)
    typer.echo(path)
