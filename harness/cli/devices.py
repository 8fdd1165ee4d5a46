"""`pocketbench devices`: what can be measured on."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.arguments import console


def devices(
    device_dir: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="More device files.")] = None,
) -> None:
    """List the devices of the inventory."""
    from devices import list_devices

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("device")
    table.add_column("file")
    for name, path in list_devices(device_dir or ()).items():
        table.add_row(Text(name), Text(str(path)))
    console().print(table)
