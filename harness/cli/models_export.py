"""`pocketbench models export`: a folder of Hugging Face weights becomes one ONNX file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from harness.cli.arguments import console
from harness.cli.stages import Stages

if TYPE_CHECKING:
    from harness.models.export import Exported

LENGTH = 64
SIZES = {"batch_size": 1, "num_channels": 3, "height": 224, "width": 224}
"""What the printed lines say for sizes that are open, and LENGTH for those of texts: to begin with."""


def export_folder(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="config.json, weights and tokenizer.")],
    *,
    task: Annotated[
        str | None, typer.Option(help="What the graph is for (default: what config.json says).")
    ] = None,
    opset: Annotated[int | None, typer.Option(help="Of the ONNX file (default: 14).")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let Python files of the folder run.")
    ] = False,
) -> None:
    """Export FOLDER to ONNX, compare it with torch, and print its inputs as the zoo wants them."""
    from harness.cache import Cache
    from harness.models.export import export_onnx, read_export
    from harness.spec import Export

    out = console()
    options = Export(task=task, opset=opset or Export().opset, trust_remote_code=trust_remote_code)
    with Stages() as stages:
        stages.report(f"exporting {folder}", 0, 0)
        graph = export_onnx(Cache(), folder, options)
    told = read_export(graph)
    out.print(f"{told.class_name} for {told.task}: {graph}", markup=False, soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "name", "dtype", "sizes", "max_rel to torch"):
        table.add_column(column)
    for kind, tensors in (("input", told.inputs), ("output", told.outputs)):
        for name, tensor in tensors.items():
            far = f"{told.compared[name]['max_rel']:.2g}" if name in told.compared else ""
            table.add_row(kind, name, tensor.dtype, ", ".join(map(str, tensor.shape)), far)
    out.print(table)
    if told.tokens:
        out.print(f"tokens of the feed: {told.tokens}", markup=False, highlight=False, soft_wrap=True)
    out.print(_zoo_lines(told), markup=False, highlight=False, soft_wrap=True)


def _zoo_lines(told: "Exported") -> str:
    """The inputs as a zoo's table has them, with sizes to begin with."""
    rows = []
    for name, tensor in told.inputs.items():
        sizes = [_size(size) for size in tensor.shape]
        rows.append(f'  {{ name = "{name}", shape = {sizes}, dtype = "{tensor.dtype}" }},')
    return "\n".join(["inputs = [", *rows, "]"])


def _size(size: int | str) -> int:
    if isinstance(size, int):
        return size
    return SIZES.get(size, LENGTH * (1 + size.count("+")))
