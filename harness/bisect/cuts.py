"""Models that show inner tensors as outputs, made in the ONNX toolchain and cached."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.bisect.graph import Graph, Tensor
from harness.cache import Cache
from harness.convert.rewrite import version_of
from harness.environments import environment
from harness.models.prepare import Prepared, onnx_sha256
from harness.toolchains import ONNX, TOOLS, require_files, run_tool

LIST, KEEP = "list_tensors.py", "keep_tensors.py"


def read_graph(cache: Cache, model: Prepared) -> Graph:
    """The tensors of the frozen model; raises ConversionError when it cannot be read."""
    key = {"model": model.sha256, "script": version_of(LIST)}

    def build(path: Path) -> None:
        _run(cache, LIST, path, str(model.frozen), str(path / "tensors.json"))

    path = cache.entry("inspections", key, build)
    written = (path / "tensors.json").read_bytes()
    return Graph(msgspec.json.decode(written, type=tuple[Tensor, ...]))


def opened(cache: Cache, model: Prepared, kept: Sequence[str]) -> Prepared:
    """`model` with copies of the tensors `kept` as further outputs; its reference is the frozen file.

    Raises ConversionError when it cannot be written.
    """
    pairs = [f"{name}={copy_of(name)}" for name in kept]
    key = {"model": model.sha256, "kept": pairs, "script": version_of(KEEP)}

    def build(path: Path) -> None:
        _run(cache, KEEP, path, str(model.frozen), str(path / "frozen.onnx"), *pairs)

    file = cache.entry("cuts", key, build) / "frozen.onnx"
    digest = onnx_sha256(file)
    outputs = (*model.outputs, *map(copy_of, kept))
    return msgspec.structs.replace(
        model,
        frozen=file,
        shaped=file,
        sha256=digest,
        shaped_sha256=digest,
        outputs=outputs,
        original_inputs=tuple(tensor.name for tensor in model.inputs),
        original_outputs=outputs,
    )


def copy_of(name: str) -> str:
    """What the output is called that shows the tensor `name`."""
    return f"{name}__kept"


def _run(cache: Cache, script: str, folder: Path, source: str, target: str, *arguments: str) -> None:
    tools = environment(cache, ONNX)
    printed = run_tool(
        script,
        tools.command(str(TOOLS / script), source, target, *arguments),
        cwd=folder,
        env=tools.variables(),
    )
    require_files(script, printed, Path(target))
