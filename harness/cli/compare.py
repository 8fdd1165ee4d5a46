"""`pocketbench compare`: two runs, case by case."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.arguments import LastRun, Results, console, store


def compare(
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="The run to compare with.")],
    candidate: Annotated[str, typer.Argument(metavar="RUN", help="The run to judge.")] = LastRun,
    results_dir: Results = None,
) -> None:
    """Judge each case of RUN against the same case of BASELINE."""
    from harness.verdict import judge
    from reports.numbers import number

    found = store(results_dir)
    before = {(m.device, m.case.key): m for m in found.load(baseline).measurements}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("device", "case", "before ms", "now ms", "change", "verdict"):
        table.add_column(column, justify="right" if column in {"before ms", "now ms", "change"} else "left")
    for now in found.load(candidate).measurements:
        then = before.get((now.device, now.case.key))
        verdict = judge(now, then)
        change = "" if verdict.ratio is None else f"{(verdict.ratio - 1) * 100:+.1f} %"
        table.add_row(
            Text(now.device),
            now.case.key,
            number(then.latency.interval.centre_ms) if then and then.latency else "-",
            number(now.latency.interval.centre_ms) if now.latency else "-",
            change,
            verdict.kind,
        )
    console().print(table)
