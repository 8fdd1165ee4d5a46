"""`pocketbench export`: a run's figures for other programs."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.arguments import LastRun, Results, RunName, store
from harness.errors import PocketbenchError


class Format(StrEnum):
    """What `export` writes."""

    CSV = "csv"
    JSONL = "jsonl"


def export(
    run: RunName = LastRun,
    form: Annotated[Format, typer.Option("--format", help="csv or jsonl.")] = Format.CSV,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of stdout.")] = None,
    results_dir: Results = None,
) -> None:
    """Print one row per case of RUN."""
    from reports.tables import to_csv, to_jsonl

    measurements = store(results_dir).load(run).measurements
    text = to_csv(measurements) if form is Format.CSV else to_jsonl(measurements)
    if output is None:
        sys.stdout.write(text)
    else:
        try:
            output.write_text(text, "utf-8", newline="")
        except OSError as error:
            raise PocketbenchError(
                f"cannot write {output} ({error.strerror}): name another with --output"
            ) from error
