"""`pocketbench baseline`: give an accepted run a name."""

from typing import Annotated

import typer

from harness.cli.arguments import HistoryUrl, Results, console, store


def baseline(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="For instance `release-1.4`.")] = None,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A run's id, or `last`.")] = None,
    results_dir: Results = None,
    history: HistoryUrl = None,
) -> None:
    """Name RUN as a baseline for `--baseline NAME`; without arguments, list the names."""
    from harness.history import History, default_url

    found = store(results_dir)
    with History(history or default_url(found.root)) as database:
        if name is None:
            for known, run_id in database.named_baselines().items():
                console().print(f"{known}  {run_id}")
            return
        run_id = found.resolve(run or "last")
        database.name_baseline(name, run_id)
    typer.echo(f"{name} is now {run_id}")
