"""What was measured of a model, for the commands that weigh its runtimes and precisions."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.arguments import DEFAULT_ZOO
from harness.errors import PocketbenchError, UnknownNameError

if TYPE_CHECKING:
    from harness.results import RunStore
    from harness.spec import Measurement
    from harness.tradeoff import Choice, TradeOff

LOOKED_BACK = 20
"""Runs in which choices are looked for that a newer run did not measure."""

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model that was measured.")]
MeasuredRun = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="A run's id, `last`, or a measurements.jsonl (default: the newest run that measured MODEL).",
    ),
]


def measured_trade_offs(
    store: "RunStore", model: str, *, run: str | None, device: str | None, zoo: Path
) -> "tuple[TradeOff, ...]":
    """The trade-offs of `model` in `run`, or in the newest run that has any; of every device or of one.

    Raises UnknownNameError for a model that neither the zoo nor a run knows, and PocketbenchError with the
    command that measures it when there is no measurement of it.
    """
    from harness.tradeoff import trade_offs

    for measurements in _runs(store, run):
        found = trade_offs(measurements, model=model, device=device)
        if found:
            return found
    measured = _measured(store)
    _check_name(model, measured, zoo)
    where = f" on {device}" if device else ""
    inside = f" in {run}" if run else ""
    others = ", ".join(sorted(measured.get(model, ())))
    elsewhere = f" ({'other runs have it' if run else 'it was'} on {others})" if others else ""
    command = pytest_command(device=device or "NAME", model=model, zoo=zoo, results_dir=store.root)
    raise PocketbenchError(f"{model} was not measured{where}{inside} yet{elsewhere}. Measure it: {command}")


def wider_run(store: "RunStore", trade_off: "TradeOff") -> "tuple[TradeOff, tuple[Choice, ...]] | None":
    """The newest earlier run with choices for the model on the device that `trade_off` lacks, and these.

    Only choices that are right count, and another version of a runtime is no other choice. None when there is
    no such run among the LOOKED_BACK before.
    """
    from harness.tradeoff import trade_offs

    held = {_cell(choice) for choice in trade_off.choices}
    earlier = [run_id for run_id in store.run_ids() if run_id < trade_off.run_id]
    for run_id in reversed(earlier[-LOOKED_BACK:]):
        try:
            measurements = store.load(run_id).measurements
        except PocketbenchError:
            continue  # it is damaged, and only a hint
        for found in trade_offs(measurements, model=trade_off.model, device=trade_off.device):
            lacking = tuple(choice for choice in found.right if _cell(choice) not in held)
            if lacking and not found.emulated:
                return found, lacking
    return None


def _cell(choice: "Choice") -> tuple[str, str, int, str]:
    case = choice.case
    return case.runtime, case.precision, case.threads, case.backend


def pytest_command(
    *, device: str, model: str, zoo: Path, results_dir: Path, options: Iterable[str] = ()
) -> str:
    """The command line that measures `model` on `device` into the same results."""
    command = ["pytest", "suites/", f"--device={device}", f"--model={model}", *options]
    if zoo != DEFAULT_ZOO:
        command.append(f"--zoo={zoo}")
    if results_dir != Path("results"):
        command.append(f"--results-dir={results_dir}")
    return shlex.join(command)


def _runs(store: "RunStore", run: str | None) -> "Iterator[tuple[Measurement, ...]]":
    """Measurements of `run` alone, or of every run, newest first."""
    from harness.results import read_measurements

    if run is None:
        for run_id in reversed(store.run_ids()):
            yield store.load(run_id).measurements
    elif run.endswith(".jsonl"):
        try:
            yield read_measurements(Path(run))[0]
        except OSError as error:
            raise PocketbenchError(f"cannot read {run} ({error.strerror})") from error
    else:
        yield store.load(run).measurements


def _measured(store: "RunStore") -> dict[str, set[str]]:
    """Every model that a run measured, and on which devices."""
    found: dict[str, set[str]] = {}
    for measurements in _runs(store, None):
        for measurement in measurements:
            found.setdefault(measurement.case.model, set()).add(measurement.device)
    return found


def _check_name(model: str, measured: Iterable[str], zoo: Path) -> None:
    from harness.models.zoo import load_zoo

    known = {*measured, *(load_zoo(zoo) if zoo.is_file() else ())}
    if model not in known and known:
        raise UnknownNameError("model", model, known)
