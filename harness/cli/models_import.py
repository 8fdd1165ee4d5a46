"""`pocketbench models import`: a folder of networks that are converted already becomes a zoo."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from harness.cli.arguments import console
from harness.errors import PocketbenchError

if TYPE_CHECKING:
    from harness.convert.importing import ReadNetwork
    from harness.models.collection import LeftOut


def import_collection(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of .onnx, .mnn, .param, .nb files.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The zoo to write (default: zoo.toml in DIR).")
    ] = None,
    name_prefix: Annotated[str, typer.Option(metavar="TEXT", help="Put before every model's name.")] = "",
    convert: Annotated[
        bool, typer.Option(help="Make each fp32 ONNX a source, to convert what the folder lacks.")
    ] = False,
    force: Annotated[bool, typer.Option(help="Replace the zoo that is there.")] = False,
) -> None:
    """Write a zoo of the networks in DIR that are converted already, matched by their names."""
    from harness.cache import Cache
    from harness.cli.stages import Stages
    from harness.convert.importing import read_networks
    from harness.convert.zoo_text import zoo_text
    from harness.models.collection import scan

    path = out or folder / "zoo.toml"
    _refuse(path, name_prefix, force=force)
    networks, left_out = scan(folder)
    with Stages() as stages:
        read, unsound = read_networks(
            Cache(), folder, networks, lambda done, total: stages.report("reading files", done, total)
        )
    if not read:
        _show(read, [*left_out, *unsound])
        raise PocketbenchError(f"nothing in {folder} can be measured: no zoo was written")
    root = Path(os.path.relpath(folder.absolute(), path.absolute().parent)).as_posix()
    try:
        path.write_text(zoo_text(read, root=root, prefix=name_prefix, convert=convert), "utf-8")
    except OSError as error:
        raise PocketbenchError(f"cannot write {path} ({error.strerror}): name another with --out") from error
    _show(read, [*left_out, *unsound])
    _tell(path, read)


def _refuse(path: Path, prefix: str, *, force: bool) -> None:
    if prefix and not re.fullmatch(r"[A-Za-z0-9][\w-]*", prefix, re.ASCII):
        raise PocketbenchError(
            f"--name-prefix {prefix!r}: it begins with a letter or digit and goes on with these, '_' and '-'"
        )
    if path.exists() and not force:
        raise PocketbenchError(f"{path} is there already: name another with --out, or give --force")


def _show(read: "Sequence[ReadNetwork]", left_out: "Sequence[LeftOut]") -> None:
    from harness.models.artifact_tables import LAYOUTS

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("model", "inputs", *LAYOUTS):
        table.add_column(column)
    for network in read:
        shapes = ", ".join(
            f"{tensor.name} {'x'.join(str(size or '?') for size in tensor.shape)}"
            for tensor in network.inputs
        )
        held = [
            " ".join(one.found.precision for one in network.artifacts if one.found.runtime == runtime)
            for runtime in LAYOUTS
        ]
        table.add_row(network.name, Text(shapes), *held)
    out = console()
    if read:
        out.print(table)
    if left_out:
        out.print(f"\nleft out, {len(left_out)}:")
        for one in sorted(left_out, key=lambda one: one.path):
            out.print(f"  {one.path}: {one.reason}", markup=False, soft_wrap=True)


def _tell(path: Path, read: "Sequence[ReadNetwork]") -> None:
    out = console()
    files = sum(len(network.artifacts) for network in read)
    out.print(f"\n{path}: {len(read)} models, {files} artifacts", markup=False, soft_wrap=True)
    unfinished = [network.name for network in read if network.open_inputs]
    if unfinished:
        out.print(f"sizes to fill in first, marked in the file: {', '.join(unfinished)}", soft_wrap=True)
    out.print(
        f"then: pytest suites/ --zoo {path}" if unfinished else f"pytest suites/ --zoo {path}", soft_wrap=True
    )
