"""`pocketbench convert`: make artifacts without measuring them."""

from typing import Annotated

import typer

from harness.cli.arguments import (
    DEFAULT_ZOO,
    CalibrationCount,
    CalibrationFolder,
    CalibrationMethod,
    Zoo,
    console,
)


def convert(
    model: Annotated[str, typer.Argument(help="A model of the zoo.")],
    *,
    runtime: Annotated[list[str] | None, typer.Option(help="Default: all of them.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Default: what each runtime has.")] = None,
    force: Annotated[bool, typer.Option(help="Convert again, also what failed before.")] = False,
    calibration_method: CalibrationMethod = None,
    calibration_count: CalibrationCount = 16,
    calibration_folder: CalibrationFolder = None,
    zoo: Zoo = DEFAULT_ZOO,
) -> None:
    """Convert MODEL and say where the artifacts lie, or why there is none."""
    from harness.cache import Cache
    from harness.convert import Format, artifact_key, make_artifact
    from harness.convert.calibration import CalibrationPlan, calibration_for
    from harness.errors import PocketbenchError
    from harness.matrix import Filters, build_cases, split_names
    from harness.models.prepare import prepare
    from harness.models.zoo import load_zoo

    known, cache, out = load_zoo(zoo), Cache(), console()
    filters = Filters(models=(model,), runtimes=split_names(runtime), precisions=split_names(precision))
    plan = CalibrationPlan(count=calibration_count, method=calibration_method, folder=calibration_folder)
    failed = 0
    for case in build_cases(known, filters):
        label = f"{case.engine} {case.precision}"
        with out.status(label):
            try:
                prepared = prepare(cache, known[model], zoo.parent)
                form = Format.of(case)
                shown = calibration_for(cache, known[model], prepared, form.precision, zoo.parent, plan)
                if force:
                    cache.forget("artifacts", artifact_key(prepared, form, shown))
                made = make_artifact(cache, prepared, form, shown)
            except PocketbenchError as error:
                failed += 1
                out.print(f"{label}  {error}", markup=False)
                continue
        out.print(f"{label}  {made.record.size_bytes / 2**20:.2f} MiB  {made.path}", markup=False)
    if failed:
        raise typer.Exit(code=1)
