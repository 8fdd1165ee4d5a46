"""The application and its commands."""

import typer

from harness.cli.baseline import baseline
from harness.cli.bundles import bundles
from harness.cli.compare import compare
from harness.cli.convert import convert
from harness.cli.devices import devices
from harness.cli.doctor import doctor
from harness.cli.export import export
from harness.cli.models import models
from harness.cli.parity import parity
from harness.cli.recommend import recommend
from harness.cli.report import report
from harness.cli.runs import runs
from harness.cli.tradeoff import tradeoff

app = typer.Typer(
    name="pocketbench",
    help="Measure machine-learning models on the devices they ship to. Measuring itself is "
    "`pytest suites/ --device=NAME`; these commands are for what surrounds it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (devices, doctor, convert, parity, runs, compare, baseline, report, export):
    app.command()(command)
app.command()(tradeoff)
app.command()(recommend)
app.add_typer(models)
app.add_typer(bundles)
