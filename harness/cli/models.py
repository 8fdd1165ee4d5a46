"""`pocketbench models`: what the zoo holds, and whether a model on disk is whole."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.cli.arguments import DEFAULT_ZOO, Zoo, console
from harness.cli.doctor import SIGNS
from harness.cli.models_export import export_folder
from harness.cli.models_import import import_collection

if TYPE_CHECKING:
    from harness.models.doctor import Diagnosis
    from harness.spec import Model

models = typer.Typer(
    name="models", help="List the models of the zoo, or examine one on disk.", invoke_without_command=True
)

models.command("import")(import_collection)
models.command("export")(export_folder)

KINDS = {"good": "good", "error": "wrong", "warning": "doubtful", "note": "not told"}
"""Severity of a finding -> the doctor's sign for it."""


@models.callback()
def zoo_table(context: typer.Context, zoo: Zoo = DEFAULT_ZOO) -> None:
    """List the models of the zoo, or examine one on disk."""
    if context.invoked_subcommand is not None:
        return
    from harness.models.zoo import load_zoo

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("model", "inputs", "feed", "licence", "default", "source"):
        table.add_column(column)
    for model in load_zoo(zoo).values():
        shapes = ", ".join(f"{t.name} {'x'.join(map(str, t.shape))}" for t in model.inputs)
        default = "yes" if model.default else "no"
        table.add_row(model.name, shapes, model.feed, Text(model.license), default, Text(_origin(model)))
    console().print(table)


def _origin(model: "Model") -> str:
    """Where a model comes from; one without a source is the files that it is converted to or from."""
    if model.source:
        return model.source
    artifacts = ", ".join(dict.fromkeys(one.runtime for one in model.artifacts))
    originals = ", ".join(f"{one.framework} ({one.runtime})" for one in model.originals)
    told = (("artifacts", artifacts), ("originals", originals))
    return "; ".join(f"{what}: {which}" for what, which in told if which)


@models.command()
def doctor(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Model folders or files.")],
    *,
    transformers: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Default: what pocketbench exports with."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what is missing, cut off or unreadable at PATH, without running anything of it."""
    import msgspec

    from harness.models.doctor import TRANSFORMERS, diagnose

    out = console()
    found: list[Diagnosis] = []
    for path in paths:
        with out.status(f"examining {path}"):
            diagnoses = diagnose(path, transformers=transformers or TRANSFORMERS)
        found += diagnoses
        if not json:
            for diagnosis in diagnoses:
                _print(out, diagnosis)
    if json:
        entries = [{**msgspec.to_builtins(one, enc_hook=str), "healthy": one.healthy} for one in found]
        typer.echo(msgspec.json.format(msgspec.json.encode(entries)).decode())
    if not all(diagnosis.healthy for diagnosis in found):
        raise typer.Exit(code=1)


def _print(out: Console, diagnosis: "Diagnosis") -> None:
    out.print(Text(str(diagnosis.path), style="bold"), soft_wrap=True)
    for finding in diagnosis.findings:
        sign, style = SIGNS[KINDS[finding.severity]]
        place = f"{finding.where}: " if finding.where != diagnosis.path.name else ""
        line = Text.assemble("  ", (sign, style), f" {finding.step:<10} ", place, finding.what)
        out.print(line, soft_wrap=True)
        if finding.advice:
            out.print(Text(f"{'':15}{finding.advice}", style="dim"), soft_wrap=True)
    counts = [
        sum(finding.severity == kind for finding in diagnosis.findings) for kind in ("error", "warning")
    ]
    told = ", ".join(
        f"{count} {name}{'s' * (count != 1)}"
        for count, name in zip(counts, ("error", "warning"), strict=True)
    )
    out.print(Text(f"  = {diagnosis.summary}: {told}"), soft_wrap=True)
