"""`pocketbench devices`: what can be measured on, and what of it answers now."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.arguments import console

if TYPE_CHECKING:
    from devices import Device
    from devices.config import DeviceConfig

PROBE_S = 8.0
"""How long all of them have to answer; a login to a slow board takes two."""

DeviceDirs = Annotated[
    list[Path] | None, typer.Option("--device-dir", metavar="DIR", help="More device files.")
]


def devices(
    device_dir: DeviceDirs = None,
    probe: Annotated[bool, typer.Option("--probe/--no-probe", help="Try to reach each.")] = True,  # noqa: FBT002
) -> None:
    """List the devices of the inventory and whether they can be reached."""
    from devices import InventoryError, list_devices
    from devices.inventory import read_config

    configs: dict[str, DeviceConfig] = {}
    wrong: dict[str, str] = {}
    for name, path in list_devices(device_dir or ()).items():
        try:
            configs[name] = read_config(path)
        except InventoryError as error:
            wrong[name] = str(error)
    out = console()
    if not out.is_terminal:
        out.width = 1000  # one line each, for the programs that read it
    with out.status("asking each of them"):
        states = _states(configs) if probe else {}
    out.print(_table(configs, wrong, states, probed=probe))
    if wrong:
        raise typer.Exit(code=1)


def _table(
    configs: "Mapping[str, DeviceConfig]",
    wrong: Mapping[str, str],
    states: Mapping[str, str],
    *,
    probed: bool,
) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("device", "driver", "where", "description", *(("state",) if probed or wrong else ())):
        table.add_column(column, overflow="fold")
    for name in sorted({*configs, *wrong}):
        if name in wrong:
            table.add_row(Text(name), "", "", "", Text(wrong[name], style="red"))
            continue
        config = configs[name]
        state = states.get(name, "")
        style = "green" if state == "reachable" else "yellow"
        cells = (name, config.driver, _where(config), config.description)
        table.add_row(*map(Text, cells), *((Text(state, style=style),) if probed or wrong else ()))
    return table


def _where(config: "DeviceConfig") -> str:
    """What the file says; a driver calls its address `host`, with a port and a user, or `serial`."""
    said = {key: getattr(config, key, None) for key in ("user", "host", "port", "serial")}
    host = said["host"] or said["serial"]
    if host is None:
        return "this machine" if config.driver == "local" else ""
    user = f"{said['user']}@" if said["user"] else ""
    port = f":{said['port']}" if said["port"] else ""
    return f"{user}{host}{port}"


def _states(configs: "Mapping[str, DeviceConfig]") -> dict[str, str]:
    """Every device's state, asked at the same time; one that is silent for too long holds up nobody."""
    states = dict.fromkeys(configs, f"no answer within {PROBE_S:g} s")

    def ask(name: str, config: "DeviceConfig") -> None:
        states[name] = _state(name, config)

    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in configs.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PROBE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(states)


def _state(name: str, config: "DeviceConfig") -> str:
    """`reachable`, or why not, in a line; `pocketbench doctor` tells what to do about it."""
    from devices import DeviceError

    try:
        device = config.create(name, lock_timeout_s=0)
        try:
            _reach(device)
        finally:
            device.close()
    except DeviceError as error:
        reason, _, _ = str(error).removeprefix(f"{name}: ").partition(": ")
        return " ".join(reason.split())
    return "reachable"


def _reach(device: "Device") -> None:
    reach = getattr(device, "reach", None)  # this machine has none: it is there
    if reach is not None:
        reach()
