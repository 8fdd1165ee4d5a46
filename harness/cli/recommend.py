"""`pocketbench recommend`: the fastest artifact of a model within limits."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from harness.cli.arguments import DEFAULT_ZOO, Results, Zoo, console, store
from harness.cli.measured import MeasuredRun, ModelName, measured_trade_offs, pytest_command, wider_run
from harness.cli.tradeoff import choice_label, choice_trouble

if TYPE_CHECKING:
    from harness.recommend import Excess, Limits, Recommendation
    from harness.tradeoff import Choice, TradeOff

ONE_PROCESSOR = "mobile"
"""The backend whose files are for the device's processor; `pocketbench convert` makes them for this one."""

_OPTIONS = {"error": "--max-error", "artifact": "--max-mb", "peak memory": "--max-memory-mb"}


def recommend(
    model: ModelName,
    *,
    device: Annotated[str, typer.Option(metavar="NAME", help="The device to ship to.")] = "local",
    max_error: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="E",
            help="Largest error (max_rel): |difference| over the reference's largest value.",
        ),
    ] = None,
    max_mb: Annotated[
        float | None, typer.Option(min=0, metavar="M", help="Largest artifact, in MiB.")
    ] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(min=0, metavar="M", help="Highest peak memory (VmHWM), in MiB.")
    ] = None,
    run: MeasuredRun = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    results_dir: Results = None,
    zoo: Zoo = DEFAULT_ZOO,
) -> None:
    """Name the fastest artifact of MODEL on a device that is right and keeps the limits; 1 when none does."""
    from harness.recommend import Limits
    from harness.recommend import recommend as recommended

    results = store(results_dir)
    (trade_off, *_) = measured_trade_offs(results, model, run=run, device=device, zoo=zoo)
    limits = Limits(max_error=max_error, max_size_mib=max_mb, max_peak_rss_mib=max_memory_mb)
    found = recommended(trade_off, limits)
    # A run that is asked for is meant as it is; the newest may have measured a part only.
    wider = wider_run(results, trade_off) if run is None else None
    if json:
        _print_json(trade_off, limits, found, zoo, wider)
    elif found.chosen is None:
        console().print(Text(_refusal(trade_off, found)), soft_wrap=True)
    else:
        _print_chosen(trade_off, found, found.chosen, zoo, results.root)
    if wider and not json:
        console().print(Text(f"  {'beware':<12} {_left_out(*wider)}", style="yellow"), soft_wrap=True)
    if found.chosen is None:
        raise typer.Exit(code=1)


def artifact_path(choice: "Choice") -> Path | None:
    """Where the artifact of `choice` lies in the cache; None when it is not there."""
    from harness.cache import Cache
    from harness.convert.supplied import SUPPLIED

    if choice.artifact is None:
        return None
    kind = SUPPLIED if choice.artifact.converter == SUPPLIED else "artifacts"
    path = Cache().root / kind / choice.artifact.key
    return path if path.is_dir() else None


def convert_command(choice: "Choice", zoo: Path) -> str | None:
    """The command that makes the artifact again; None where there is none that surely does."""
    from harness.convert.supplied import SUPPLIED

    case = choice.case
    if choice.artifact is None or choice.artifact.converter == SUPPLIED or case.backend == ONE_PROCESSOR:
        return None
    command = ["pocketbench", "convert", case.model, "--runtime", case.engine, "--precision", case.precision]
    if case.backend != "cpu":
        command += ["--backend", case.backend]
    return shlex.join(command if zoo == DEFAULT_ZOO else [*command, "--zoo", str(zoo)])


def _print_chosen(
    trade_off: "TradeOff", found: "Recommendation", chosen: "Choice", zoo: Path, results_dir: Path
) -> None:
    from reports.numbers import error, figure, number

    lines = [
        ("latency", f"{_timed(chosen)}, {_launches(chosen)}"),
        ("artifact", f"{number(chosen.size_mib)} MiB"),
        ("peak memory", f"{number(chosen.peak_rss_mib)} MiB"),
        ("error", f"{error(chosen.error)} (max_rel), cosine {figure(chosen.cosine)}"),
        ("lies in", str(artifact_path(chosen) or "not in this machine's cache")),
        ("made by", convert_command(chosen, zoo) or _not_by_convert(chosen)),
        *(("how sure", line) for line in _how_sure(trade_off, found, chosen, zoo, results_dir)),
        ("from", f"run {trade_off.run_id}, {found.right} of {len(trade_off.choices)} choices are right"),
    ]
    out = console()
    out.print(Text(f"{choice_label(chosen)}  for {trade_off.model} on {trade_off.device}", style="bold"))
    told = ""
    for name, value in lines:
        line = Text.assemble((f"  {name if name != told else '':<12} ", "dim"), value)
        out.print(line, soft_wrap=True)
        told = name


def _how_sure(
    trade_off: "TradeOff", found: "Recommendation", chosen: "Choice", zoo: Path, results_dir: Path
) -> list[str]:
    """Whether it is the fastest, and what it takes to know when that is not shown."""
    lines = []
    if found.rivals:
        rivals = "; ".join(f"{choice_label(rival)} ({_timed(rival)})" for rival in found.rivals)
        lines.append(f"cannot be told apart from {rivals}: their intervals overlap")
    elif found.runner_up:
        slower = (found.runner_up.latency_ms / chosen.latency_ms - 1) * 100
        lines.append(
            f"the next, {choice_label(found.runner_up)}, is slower by {slower:.0f} %: "
            "their intervals do not overlap"
        )
    else:
        lines.append("nothing else that is right keeps the limits")
    if chosen.launches == 1:
        lines.append("one launch: the interval says nothing of the spread between launches")
    if found.rivals or chosen.launches == 1:
        choices = (chosen, *found.rivals)
        options = [
            f"--runtime={_listed(choice.case.engine for choice in choices)}",
            f"--precision={_listed(choice.case.precision for choice in choices)}",
            f"--threads={_listed(str(choice.case.threads) for choice in choices)}",
        ]
        if any(choice.case.backend != "cpu" for choice in choices):
            options.append(f"--backend={_listed(choice.case.backend for choice in choices)}")
        command = pytest_command(
            device=trade_off.device,
            model=trade_off.model,
            zoo=zoo,
            results_dir=results_dir,
            options=[*options, "--effort=nightly"],
        )
        lines.append(f"more launches: {command}")
    return lines


def _left_out(earlier: "TradeOff", lacking: "tuple[Choice, ...]") -> str:
    """What an earlier run measured and the one that is gone by did not."""
    several = f", and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return (
        f"this run did not measure {choice_label(lacking[0])} ({_timed(lacking[0])} in run {earlier.run_id})"
        f"{several}: add --run {earlier.run_id} to go by that one"
    )


def _timed(choice: "Choice") -> str:
    from reports.numbers import number, span

    latency = choice.latency
    if latency is None:
        return "no latency"
    around = span(latency.low_ms, latency.high_ms, like=latency.centre_ms)
    return f"{number(latency.centre_ms)} ms [{around}]"


def _launches(choice: "Choice") -> str:
    return f"{choice.launches} launch{'es' if choice.launches != 1 else ''}"


def _not_by_convert(choice: "Choice") -> str:
    """Where an artifact comes from that `pocketbench convert` need not make alike."""
    from harness.convert.supplied import SUPPLIED

    if choice.artifact is None:
        return "not recorded by that run"
    if choice.artifact.converter == SUPPLIED:
        return "nobody here: the zoo supplies it"
    return f"measuring it: files for the backend {choice.case.backend} are for one kind of processor"


def _listed(names: Iterable[str]) -> str:
    return ",".join(dict.fromkeys(names))


def _refusal(trade_off: "TradeOff", found: "Recommendation") -> str:
    """Why nothing is recommended."""
    on = f"{trade_off.model} on {trade_off.device}"
    if trade_off.emulated:
        return (
            f"nothing to recommend for {on}: it is emulated, and its times are no device's. "
            f"Sizes and errors hold: pocketbench tradeoff {trade_off.model} --device {trade_off.device}"
        )
    if found.nearest is None:
        lines = [f"nothing to recommend for {on}: of {len(trade_off.choices)} choices none is right"]
        lines += [f"  {choice_label(choice)}: {choice_trouble(choice)}" for choice in trade_off.troubled]
        return "\n".join(lines)
    over = "; ".join(map(_exceeded, found.excesses))
    lines = [
        f"nothing within the limits for {on}",
        f"  nearest: {choice_label(found.nearest)}, {_timed(found.nearest)}: {over}",
    ]
    lines += [
        f"  {_OPTIONS[what]} rules out {count} of the {found.right} that are right"
        for what, count in found.excluded.items()
    ]
    return "\n".join(lines)


def _exceeded(excess: "Excess") -> str:
    from reports.numbers import error, number

    told = "not known"
    if excess.value is not None:
        told = f"{number(excess.value)} {excess.unit}" if excess.unit else error(excess.value)
    return f"{excess.what} {told} is over {_OPTIONS[excess.what]} {excess.limit:g}"


def _print_json(
    trade_off: "TradeOff",
    limits: "Limits",
    found: "Recommendation",
    zoo: Path,
    wider: "tuple[TradeOff, tuple[Choice, ...]] | None",
) -> None:
    import msgspec

    told = {
        "model": trade_off.model,
        "device": trade_off.device,
        "emulated": trade_off.emulated,
        "run_id": trade_off.run_id,
        "limits": limits,
        "recommended": _flat(found.chosen, zoo),
        "not_told_apart": [_flat(rival, zoo) for rival in found.rivals],
        "right": found.right,
        "nearest": _flat(found.nearest, zoo),
        "excesses": found.excesses,
        "excluded": found.excluded,
        "wider_run_id": wider[0].run_id if wider else None,
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(told)).decode())


def _flat(choice: "Choice | None", zoo: Path) -> Mapping[str, Any] | None:
    if choice is None:
        return None
    case, latency, path = choice.case, choice.latency, artifact_path(choice)
    return {
        "runtime": case.runtime,
        "runtime_version": case.runtime_version,
        "precision": case.precision,
        "threads": case.threads,
        "backend": case.backend,
        "latency_ms": latency.centre_ms if latency else None,
        "latency_low_ms": latency.low_ms if latency else None,
        "latency_high_ms": latency.high_ms if latency else None,
        "launches": choice.launches,
        "size_mib": choice.size_mib,
        "peak_rss_mib": choice.peak_rss_mib,
        "error": choice.error,
        "cosine": choice.cosine,
        "artifact": str(path) if path else None,
        "convert": convert_command(choice, zoo),
    }
