"""`pocketbench doctor`: is a device fit to measure on, and what mends it."""

from typing import Annotated

import typer
from rich.text import Text

from harness.cli.arguments import console
from harness.cli.devices import DeviceDirs

SIGNS = {
    "good": ("✓", "green"),
    "wrong": ("✗", "red"),
    "doubtful": ("!", "yellow"),
    "not told": ("–", "dim"),  # noqa: RUF001 - a dash as wide as the other signs
}


def doctor(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A device of the inventory.")],
    device_dir: DeviceDirs = None,
) -> None:
    """Check device NAME step by step, and say what to mend."""
    from devices import Facts, Interpreter, find_device
    from devices.doctor import diagnose
    from harness.platforms import platform_of
    from harness.runtimes import RUNTIMES

    def chosen(facts: Facts) -> tuple[Interpreter, ...]:
        return platform_of(facts).preferring(next(iter(RUNTIMES.values())).python)

    device = find_device(name, device_dir or (), lock_timeout_s=0)
    out = console()
    failed = False
    with out.status(f"asking {name}"):
        for check in diagnose(device, chosen=chosen):
            failed |= check.ok is False
            sign, style = SIGNS[_kind(ok=check.ok, advised=bool(check.advice))]
            line = Text.assemble((sign, style), f" {check.name:<12} ", check.found)
            out.print(line, soft_wrap=True)
            if check.advice:
                out.print(Text(f"{'':15}{check.advice}", style="dim"), soft_wrap=True)
    if failed:
        raise typer.Exit(code=1)


def _kind(*, ok: bool | None, advised: bool) -> str:
    if ok is None:
        return "doubtful" if advised else "not told"
    return "good" if ok else "wrong"
