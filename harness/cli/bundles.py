"""`pocketbench bundles`: build the files that are pushed to devices, or check some that you made."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.arguments import console

if TYPE_CHECKING:
    from harness.platforms import Platform


def bundles(
    runtime: Annotated[
        list[str] | None, typer.Argument(metavar="RUNTIME[@VERSION]", help="Default: all of them.")
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Default: this machine.")] = None,
    device_dir: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="More device files.")] = None,
    bundle: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A binary bundle of yours, taken where it fits.")
    ] = None,
    check: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Check a binary bundle, build nothing.")
    ] = None,
) -> None:
    """Build the bundles for this machine or a device, and say of which kind they are and where they lie."""
    from harness.bundles import binary_bundle, bundle_for
    from harness.cache import Cache
    from harness.errors import UnsupportedError
    from harness.runtimes import RUNTIMES, parse_runtime

    # An index may have got what it did not have.
    cache, out = Cache(ask_again=True), console()
    if check:
        for folder in check:
            info = binary_bundle(folder).info
            out.print(f"{folder}  {info.runtime}@{info.version} for {info.platform}  ok", markup=False)
        return
    wanted = [parse_runtime(name) for name in runtime or RUNTIMES]
    supplied = [binary_bundle(folder) for folder in bundle or ()]
    platform = _platform(device, device_dir or ())
    failed = 0
    for engine, version in wanted:
        with out.status(f"{engine.name}@{version}"):
            try:
                made = bundle_for(cache, engine, version, platform, supplied)
            except UnsupportedError as error:
                failed += 1
                out.print(f"{engine.name}@{version}  unsupported: {error}", markup=False)
                continue
        kind = " ".join(filter(None, (made.info.kind, made.info.platform, made.info.python)))
        out.print(f"{engine.name}@{version}  {kind}  {made.path}", markup=False)
    if failed == len(wanted):
        raise typer.Exit(code=1)


def _platform(device: str | None, device_dir: Iterable[Path]) -> "Platform":
    from devices import find_device
    from harness.platforms import HOST, platform_of

    if device is None:
        return HOST
    return platform_of(find_device(device, device_dir).facts())
