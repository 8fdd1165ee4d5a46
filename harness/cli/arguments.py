"""Arguments that several commands take, and how a run is found by them."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.results import LAST, RunStore

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or `last`.")]
LastRun = LAST
Results = Annotated[
    Path | None,
    typer.Option("--results-dir", metavar="DIR", help="Where runs are kept (POCKETBENCH_RESULTS, results)."),
]
HistoryUrl = Annotated[
    str | None, typer.Option("--history", metavar="URL", help="Database (default: in the results).")
]
Zoo = Annotated[Path, typer.Option("--zoo", metavar="PATH", help="The zoo file.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="Of the conversion, over the zoo's, such as block=64."
    ),
]
CalibrationMethod = Annotated[
    str | None,
    typer.Option("--calibration-method", help="For int8: minmax, percentile, kl, ema, admm, dynamic."),
]
CalibrationCount = Annotated[
    int | None, typer.Option("--calibration-count", help="For int8: samples, at most (the zoo's, or 16).")
]
CalibrationFolder = Annotated[
    Path | None, typer.Option("--calibration-folder", help="For int8: your own, as .npz.")
]
DEFAULT_ZOO = Path("suites", "zoo.toml")


def store(results: Path | None) -> RunStore:
    """The results directory that the option or the environment names."""
    return RunStore(results or Path(os.environ.get("POCKETBENCH_RESULTS") or "results"))


def console() -> Console:
    """Standard output, with colour only on a terminal and never wrapping into a pipe."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=200)
