"""`pocketbench bundles`: build the files that are pushed to devices, or check some that you made."""

import shutil
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.arguments import console
from harness.cli.stages import Stages

if TYPE_CHECKING:
    from harness.bundles import Bundle
    from harness.cache import Cache
    from harness.platforms import Platform
    from harness.runtimes import Runtime

bundles = typer.Typer(
    name="bundles", help="Build what is pushed to devices, or check what you made.", no_args_is_help=True
)


class Kind(StrEnum):
    """What a bundle is made of; docs/runtimes.md tells them apart."""

    WHEEL = "wheel"
    PORTABLE = "portable"
    BINARY = "binary"


@bundles.command()
def build(
    runtime: Annotated[
        list[str] | None, typer.Argument(metavar="RUNTIME[@VERSION]", help="Default: all of them.")
    ] = None,
    *,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="Default: this machine.")] = None,
    device_dir: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="More device files.")] = None,
    abi: Annotated[
        str | None, typer.Option(metavar="ABI", help="For a device that is not there: arm64-v8a or x86_64.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Default: what the device would get.")] = None,
    bundle: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A binary bundle of yours, taken where it fits.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Copy the bundle there, in place of an earlier one.")
    ] = None,
) -> None:
    """Build the bundles for this machine or a device, and say of which kind they are and where they lie."""
    from harness.bundles import binary_bundle
    from harness.cache import Cache
    from harness.errors import PocketbenchError, UnsupportedError
    from harness.runtimes import RUNTIMES, parse_runtime

    wanted = [parse_runtime(name) for name in runtime or RUNTIMES]
    if out is not None and len(wanted) != 1:
        raise PocketbenchError("--out takes one bundle: name the runtime to build")
    if out is not None:
        _check_place(out)
    if bundle and kind is not None:
        raise PocketbenchError("--bundle says what to take and --kind what to build: give one of them")
    supplied = [binary_bundle(folder) for folder in bundle or ()]
    platform = _platform(device, device_dir or (), abi, kind)
    # An index may have got what it did not have.
    cache, printed = Cache(ask_again=True), console()
    failed = 0
    for engine, version in wanted:
        try:
            made = _made(cache, engine, version, platform, kind, supplied)
        except UnsupportedError as error:
            failed += 1
            printed.print(f"{engine.name}@{version}  unsupported: {error}", markup=False)
            continue
        place = made.path if out is None else _copied(made.path, out)
        words = " ".join(filter(None, (made.info.kind, made.info.platform, made.info.python)))
        printed.print(f"{engine.name}@{version}  {words}  {place}", markup=False)
    if failed == len(wanted):
        raise typer.Exit(code=1)


@bundles.command()
def check(folder: Annotated[list[Path], typer.Argument(metavar="DIR")]) -> None:
    """Check binary bundles of yours, and say what is wrong or missing."""
    from harness.bundles import binary_bundle

    printed = console()
    for path in folder:
        info = binary_bundle(path).info
        printed.print(f"{path}  {info.runtime}@{info.version} for {info.platform}  ok", markup=False)


def _platform(
    device: str | None, device_dir: Iterable[Path], abi: str | None, kind: Kind | None
) -> "Platform":
    from devices import find_device
    from harness.bundles.compilers import abi_named
    from harness.errors import PocketbenchError
    from harness.platforms import HOST, Platform, platform_of

    if abi is None:
        return HOST if device is None else platform_of(find_device(device, device_dir).facts())
    arch = abi_named(abi).arch
    if device is not None:
        raise PocketbenchError("--device and --abi both say what to build for: give one of them")
    if kind is Kind.WHEEL:
        raise PocketbenchError(
            "a wheel bundle is for a certain Python, which no ABI tells: name the device with --device, or "
            "neither for this machine"
        )
    return Platform(arch=arch)


def _made(
    cache: "Cache",
    engine: "Runtime",
    version: str,
    platform: "Platform",
    kind: Kind | None,
    supplied: "Sequence[Bundle]",
) -> "Bundle":
    from harness.bundles import bundle_for, portable_bundle, wheel_bundle
    from harness.platforms import Platform

    if kind is Kind.BINARY:
        return _binary(cache, engine, version, platform)
    with console().status(f"{engine.name}@{version}"):
        if kind is Kind.WHEEL:
            return wheel_bundle(cache, engine, version, platform)
        if kind is Kind.PORTABLE:
            return portable_bundle(cache, engine, version, Platform(arch=platform.processor))
        return bundle_for(cache, engine, version, platform, supplied)


def _binary(cache: "Cache", engine: "Runtime", version: str, platform: "Platform") -> "Bundle":
    from harness.bundles.compilers import ABIS, abi_of
    from harness.bundles.native import native_bundle
    from harness.errors import UnsupportedError

    abi = abi_of(platform.processor)
    if abi is None:
        known = " and ".join(ABIS)
        raise UnsupportedError(f"runners can be built for {known}, not for {platform.processor or 'unknown'}")
    with Stages() as stages:
        return native_bundle(cache, engine, version, abi, stages.report)


def _check_place(out: Path) -> None:
    """Raise PocketbenchError when something lies at `out` that is no bundle."""
    from harness.bundles.base import MANIFEST
    from harness.errors import PocketbenchError

    if out.exists() and not (out / MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise PocketbenchError(f"{out} is there and is no bundle: name a directory that is not there yet")


def _copied(path: Path, out: Path) -> Path:
    target = out.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(path, part)
    if target.exists():
        shutil.rmtree(target)
    part.rename(target)
    return target
