"""`pocketbench convert`: make artifacts without measuring them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from harness.cache import Cache
    from harness.convert.calibration import CalibrationPlan
    from harness.spec import Artifact, Case, Model


def convert(
    model: Annotated[str, typer.Argument(help="A model of the zoo.")],
    *,
    runtime: Annotated[list[str] | None, typer.Option(help="Default: all of them.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Default: what each runtime has.")] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Paddle-Lite's mobile, for this processor (default: cpu).")
    ] = None,
    force: Annotated[bool, typer.Option(help="Convert again, also what failed before.")] = False,
    option: Options = None,
    calibration_method: CalibrationMethod = None,
    calibration_count: CalibrationCount = None,
    calibration_folder: CalibrationFolder = None,
    zoo: Zoo = DEFAULT_ZOO,
) -> None:
    """Convert MODEL and say where the artifacts lie, or why there is none."""
    from harness.cache import Cache
    from harness.convert.calibration import CalibrationPlan, check_asked
    from harness.errors import PocketbenchError
    from harness.matrix import Filters, build_cases, split_names
    from harness.models.conversion_tables import with_options
    from harness.models.zoo import load_zoo

    known, base, out = load_zoo(zoo), zoo.absolute().parent, console()
    filters = Filters(
        models=(model,),
        runtimes=split_names(runtime),
        precisions=split_names(precision),
        backends=split_names(backend),
    )
    plan = CalibrationPlan(count=calibration_count, method=calibration_method, folder=calibration_folder)
    cases = build_cases(known, filters)
    check_asked(plan, [case.precision for case in cases])
    failed = 0
    for case in cases:
        label = f"{case.engine} {case.precision}" + (f" {case.backend}" if case.backend != "cpu" else "")
        with Stages() as stages:
            stages.report(label, 0, 0)
            cache = Cache(ask_again=force).telling(stages.downloading)
            try:
                asked = with_options(known[model], case.runtime, case.precision, option or ())
                line = f"{label}{_converted(cache, asked, case, base, plan, force=force)}"
            except PocketbenchError as error:
                failed += 1
                line = f"{label}  {error}"
        out.print(line, markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(code=1)


def _converted(
    cache: "Cache", model: "Model", case: "Case", base: Path, plan: "CalibrationPlan", *, force: bool
) -> str:
    """What is told of the artifact for `case`; raises PocketbenchError when it cannot be made."""
    from harness.convert import Format, artifact_key, make_artifact
    from harness.convert.calibration import calibration_for
    from harness.convert.originals import to_convert
    from harness.convert.supplied import find_supplied, nothing_for
    from harness.models.originals import find_original

    form = Format.of(case, options=model.options(case.runtime, case.precision))
    if find_supplied(model, form) is not None:
        return "  nothing to convert: the zoo supplies this file, which is measured as it is"
    if not model.source and find_original(model, case.runtime) is None:
        raise nothing_for(model, form)
    prepared = to_convert(cache, model, form, base)
    completed = plan.completed(model, case.runtime, base)
    shown = calibration_for(cache, model, prepared, form.precision, base, completed)
    if force:
        cache.forget("artifacts", artifact_key(prepared, form, shown))
    made = make_artifact(cache, prepared, form, shown)
    return f"{_asked(made.record)}  {made.record.size_bytes / 2**20:.2f} MiB  {made.path}"


def _asked(record: "Artifact") -> str:
    """Options that are not the runtime's defaults, as they were asked for."""
    asked = record.options.get("asked", {})
    return "".join(f" {name}={json.dumps(value)}" for name, value in asked.items())
