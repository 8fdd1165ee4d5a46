"""`pocketbench parity`: is one converted model right, and if not, from which operator on?"""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.arguments import (
    DEFAULT_ZOO,
    CalibrationCount,
    CalibrationFolder,
    CalibrationMethod,
    Options,
    Zoo,
    console,
)
from harness.cli.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.bisect import Diagnosis
    from harness.spec import Case, Model


def parity(
    model: Annotated[str, typer.Argument(help="A model of the zoo.")],
    *,
    runtime: Annotated[str, typer.Option(help="Such as mnn, or mnn@3.6.1.")],
    precision: Annotated[str, typer.Option(help="fp32, fp16, bf16, w16, w8, w4 or int8.")],
    backend: Annotated[str | None, typer.Option(help="Default: the runtime's first.")] = None,
    bisect: Annotated[bool, typer.Option("--bisect", help="Find the first wrong operator.")] = False,
    option: Options = None,
    calibration_method: CalibrationMethod = None,
    calibration_count: CalibrationCount = None,
    calibration_folder: CalibrationFolder = None,
    zoo: Zoo = DEFAULT_ZOO,
) -> None:
    """Judge MODEL, converted and run once on this machine; exit code 1 when it leaves tolerance.

    With --bisect, inner tensors are kept as outputs and converted again, a few at a time, until the first
    operator is found that is wrong though all that it takes is right.
    """
    from harness.bisect import diagnose, look_whole, make_bench
    from harness.bisect.conclusion import figures
    from harness.cache import Cache
    from harness.convert.calibration import CalibrationPlan, check_asked
    from harness.models.conversion_tables import with_options
    from harness.models.zoo import load_zoo

    known, out = load_zoo(zoo), console()
    base = zoo.absolute().parent
    case = _case(known, model, runtime, precision, backend)
    asked = with_options(known[model], case.runtime, case.precision, option or ())
    label = " ".join((f"{model} in {case.engine} {precision}", *(option or ())))
    plan = CalibrationPlan(count=calibration_count, method=calibration_method, folder=calibration_folder)
    check_asked(plan, [case.precision])
    with Stages() as stages:
        stages.report(f"converting {label}", 0, 0)
        cache = Cache().telling(stages.downloading)
        bench = make_bench(cache, asked, base, case, plan)
        whole = look_whole(cache, bench)
        if whole.wrong and bisect:
            stage = f"bisecting {label}"
            found = diagnose(cache, bench, whole, lambda done, total: stages.report(stage, done, total))
    if not whole.wrong:
        told = "; ".join(f"{one.name}: {figures(one)}" for one in whole.judged.values())
        out.print(f"{label}: nothing leaves tolerance: {told}", markup=False, soft_wrap=True)
        return
    if not bisect:
        wrong = "; ".join(f"{name}: {whole.judged[name].failure}" for name in whole.wrong)
        out.print(
            f"{label} leaves tolerance: {wrong}. --bisect finds out where", markup=False, soft_wrap=True
        )
    else:
        out.print(_table(found))
        out.print(f"{label}, {found.finding.looks} conversions: {found.text}", markup=False, soft_wrap=True)
    raise typer.Exit(code=1)


def _case(
    known: "Mapping[str, Model]", model: str, runtime: str, precision: str, backend: str | None
) -> "Case":
    """The one case that the arguments name; raises UnknownNameError for a name that is not known."""
    from harness.errors import PocketbenchError
    from harness.matrix import Filters, build_cases

    cases = build_cases(
        known,
        Filters(
            models=(model,),
            runtimes=(runtime,),
            precisions=(precision,),
            backends=(backend,) if backend else (),
        ),
    )
    if len(cases) != 1:
        raise PocketbenchError(f"{model} in {runtime} {precision} is {len(cases)} cases: name one --backend")
    return cases[0]


def _table(found: "Diagnosis") -> Table:
    """What was looked at, in the graph's order; `!` marks what is outside the limits."""
    from harness.bisect.conclusion import number

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "operator", "tensor", "max_rel", "cosine"):
        table.add_column(column, justify="right" if column in {"max_rel", "cosine"} else "left")
    for one in found.finding.judged:
        hard = one.failure if one.max_rel is None else number(one.max_rel)
        name, mark = Text(one.name), "" if one.ok else "!"
        table.add_row(mark, found.operators[one.name], name, Text(hard), number(one.cosine, digits=6))
    return table
