"""`pocketbench report`: make a run's page again."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.arguments import HistoryUrl, LastRun, Results, RunName, store
from harness.errors import PocketbenchError


def report(
    run: RunName = LastRun,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: in the run.")] = None,
    results_dir: Results = None,
    history: HistoryUrl = None,
) -> None:
    """Write the HTML page of RUN and print its path."""
    from harness.history import History, default_url
    from reports.page import write_page
    from reports.trends import read_trends

    stored = store(results_dir).load(run)
    path = output or stored.directory / "report.html"
    with History(history or default_url(store(results_dir).root)) as database:
        earlier = read_trends(database, stored.measurements)
    try:
        write_page(path, stored.info, stored.measurements, history=earlier)
    except OSError as error:
        raise PocketbenchError(
            f"cannot write {path} ({error.strerror}): name another with --output"
        ) from error
    typer.echo(path)
