"""`pocketbench tradeoff`: what every runtime and precision of a model costs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.arguments import DEFAULT_ZOO, Results, Zoo, console, store
from harness.cli.measured import MeasuredRun, ModelName, measured_trade_offs

if TYPE_CHECKING:
    from harness.tradeoff import Choice, TradeOff

LEGEND = (
    "front: no other is as good in latency, size and error and better in one; "
    "tie: its interval meets the fastest's\n"
    "error: largest |difference| from the reference over its largest value (max_rel), of the worst output"
)


ROOM_FOR_INTERVALS = 105
"""Columns of a terminal from which on intervals are shown."""


def tradeoff(
    model: ModelName,
    device: Annotated[str | None, typer.Option("--device", metavar="NAME", help="Default: all.")] = None,
    run: MeasuredRun = None,
    results_dir: Results = None,
    zoo: Zoo = DEFAULT_ZOO,
) -> None:
    """Show size, latency, memory and error of MODEL in every runtime and precision, fastest first."""
    found = measured_trade_offs(store(results_dir), model, run=run, device=device, zoo=zoo)
    out = console()
    for number, trade_off in enumerate(found):
        if number:
            out.print()
        _heading(trade_off)
        if any(choice.latency for choice in trade_off.choices):
            out.print(_table(trade_off))
        if trade_off.troubled:
            out.print(f"\nnot to be shipped, {len(trade_off.troubled)}:")
        for choice in trade_off.troubled:
            out.print(
                Text(f"  {choice_label(choice)}: {choice_trouble(choice)}", style="dim"), soft_wrap=True
            )
    if any(trade_off.right for trade_off in found):
        out.print(Text(f"\n{LEGEND}", style="dim"), soft_wrap=True)


def choice_label(choice: "Choice") -> str:
    """A choice in a few words: `ncnn@1.0.20261020 fp16, 1 thread`."""
    return f"{choice.case.engine} {choice.case.precision}, {choice_setting(choice)}"


def choice_setting(choice: "Choice") -> str:
    """How it ran, apart from the runtime and the precision: `1 thread`, `4 threads, vulkan`."""
    from reports.numbers import count

    case = choice.case
    return count(case.threads, "thread") + (f", {case.backend}" if case.backend != "cpu" else "")


def choice_trouble(choice: "Choice") -> str:
    """What keeps a choice from being shipped, in one line."""
    return f"{choice.trouble}: {choice.reason}" if choice.reason else choice.trouble


def _heading(trade_off: "TradeOff") -> None:
    heading = Text(f"{trade_off.model} on {trade_off.device}", style="bold")
    settings = {choice_setting(choice) for choice in trade_off.choices}
    if len(settings) == 1:
        heading.append(f", {settings.pop()}")
    heading.append(f"  run {trade_off.run_id}", style="not bold dim")
    if trade_off.emulated:
        heading.append("  emulated: its times are no device's and rank nothing", style="not bold yellow")
    console().print(heading, soft_wrap=True)


def _table(trade_off: "TradeOff") -> Table:
    from harness.tradeoff import tied_with

    fastest = next((choice for choice in trade_off.right if choice.fastest), None)
    ties = tied_with(fastest, trade_off.right) if fastest else ()
    columns = _columns(trade_off)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("choice", overflow="fold")
    for header in columns:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("")
    for choice in trade_off.choices:
        if choice.latency is not None:
            name = Text(f"{choice.case.engine} {choice.case.precision}")
            cells = [told(choice) for told in columns.values()]
            table.add_row(name, *cells, _word(choice, tied=choice in ties), style=_style(choice))
    return table


def _columns(trade_off: "TradeOff") -> "dict[str, Callable[[Choice], str]]":
    """Headers and what stands under them: what differs between choices and what the terminal has room for."""
    from reports.numbers import error, figure, number

    cases = [choice.case for choice in trade_off.choices]
    columns: dict[str, Callable[[Choice], str]] = {}
    if len({case.threads for case in cases}) > 1:
        columns["threads"] = lambda choice: str(choice.case.threads)
    if len({case.backend for case in cases}) > 1:
        columns["backend"] = lambda choice: choice.case.backend
    columns["ms"] = lambda choice: number(choice.latency_ms)
    if console().width >= ROOM_FOR_INTERVALS:
        columns["interval"] = _interval
    columns["size\nMiB"] = lambda choice: number(choice.size_mib)
    columns["peak\nMiB"] = lambda choice: number(choice.peak_rss_mib)
    columns["error"] = lambda choice: error(choice.error)
    columns["cosine"] = lambda choice: figure(choice.cosine)
    return columns


def _interval(choice: "Choice") -> str:
    from reports.numbers import span

    latency = choice.latency
    return "" if latency is None else span(latency.low_ms, latency.high_ms, like=latency.centre_ms)


def _style(choice: "Choice") -> str:
    if choice.fastest:
        return "bold"
    return "dim" if choice.standing == "dominated" or not choice.right else ""


def _word(choice: "Choice", *, tied: bool) -> str:
    if choice.fastest or not choice.right:
        return choice.trouble or "fastest"
    words = ["front"] * (choice.standing == "front") + ["tie"] * tied
    return ", ".join(words)
