"""`pocketbench bundles`: build the files that are pushed to devices."""

from typing import Annotated

import typer

from harness.cli.arguments import console


def bundles(
    runtime: Annotated[
        list[str] | None, typer.Argument(metavar="RUNTIME[@VERSION]", help="Default: all of them.")
    ] = None,
) -> None:
    """Build the bundles for this machine and say where they lie."""
    from harness.bundles import wheel_bundle
    from harness.cache import Cache
    from harness.errors import UnsupportedError
    from harness.runtimes import RUNTIMES, parse_runtime

    cache, out = Cache(), console()
    wanted = [parse_runtime(name) for name in runtime or RUNTIMES]
    failed = 0
    for engine, version in wanted:
        with out.status(f"{engine.name}@{version}"):
            try:
                bundle = wheel_bundle(cache, engine, version)
            except UnsupportedError as error:
                failed += 1
                out.print(f"{engine.name}@{version}  unsupported: {error}", markup=False)
                continue
        out.print(f"{engine.name}@{version}  {bundle.path}", markup=False)
    if failed == len(wanted):
        raise typer.Exit(code=1)
