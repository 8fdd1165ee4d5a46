"""ONNX to ncnn through pnnx."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Request
from harness.convert.rewrite import rewritten, version_of
from harness.environments import Packages, environment
from harness.errors import ConversionError
from harness.spec import Precision, TensorSpec
from harness.toolchains import require_files, run_tool

TYPES = {"float32": "f32", "float16": "f16", "int64": "i64", "int32": "i32", "uint8": "u8"}

RELEASES = (
    "20261020",
    "20260526",
    "20260409",
    "20260112",
    "20251119",
    "20250930",
    "20250819",
    "20250530",
    "20250430",
    "20241223",
    "20240819",
    "20240410",
)
"""Releases of pnnx, by date as ncnn's are; ncnn reads what a pnnx of its time or before wrote."""

NO_BATCH = 233
"""What pnnx calls the batch axis of a tensor that has none."""


FLATTEN = "flatten_select.py"
"""For x[k] of a state: pnnx would leave a torch.unbind, which ncnn does not have."""

LIFT = "lift_weights.py"
"""For fp16: pnnx stores weights under 2^-14, half floats' subnormal numbers, as zero."""


def _options(precision: Precision, backend: str) -> dict[str, Any]:
    del backend
    scripts = [FLATTEN, LIFT] if precision == "fp16" else [FLATTEN]
    return {"fp16": int(precision == "fp16"), "rewritten": [version_of(script) for script in scripts]}


def _convert(cache: Cache, request: Request) -> Converted:
    tools = environment(cache, _toolchain(request.version))
    source = rewritten(cache, FLATTEN, request.model.frozen, request.out / "model.flat.onnx")
    if request.precision == "fp16":
        source = rewritten(cache, LIFT, source, request.out / "model.lifted.onnx")
    # pnnx writes a dozen files beside its input.
    model = request.out / "model.onnx"
    shutil.copyfile(source, model)
    shapes = ",".join(
        f"[{','.join(str(size) for size in tensor.shape)}]{TYPES.get(tensor.dtype, tensor.dtype)}"
        for tensor in request.model.inputs
    )
    half = f"fp16={int(request.precision == 'fp16')}"
    printed = run_tool(
        "pnnx",
        [str(tools.site / "pnnx" / "pnnx"), model.name, f"inputshape={shapes}", half],
        cwd=request.out,
        env={},
    )
    param, weights = request.out / "model.ncnn.param", request.out / "model.ncnn.bin"
    require_files("pnnx", printed, param)
    _refuse_unknown_layers(param, printed)
    # Not by size: a network without weights has an empty file of them.
    if not weights.is_file():
        raise ConversionError(f"pnnx wrote {param.name} and no {weights.name}", printed)
    axes = _batch_axes((request.out / "model_ncnn.py").read_text(), request.model.inputs)
    for leftover in request.out.glob("model*"):
        if leftover not in {param, weights}:
            leftover.unlink()
    return Converted(files={"param": param.name, "bin": weights.name}, job_options={"batch_axes": axes})


def _refuse_unknown_layers(param: Path, printed: str) -> None:
    """Operators pnnx could not lower stay in the .param under their own names, with a dot or colons."""
    kinds = {line.split()[0] for line in param.read_text().splitlines()[2:] if line.strip()}
    unknown = sorted(kind for kind in kinds if re.search(r"[.:]|^[a-z]", kind))
    if unknown:
        raise ConversionError(f"ncnn has no layer for {', '.join(unknown)}", printed)


def _batch_axes(script: str, inputs: Sequence[TensorSpec]) -> list[int | None]:
    """Which axis of each input pnnx took for the batch, from the test script that it writes.

    Newer releases write `batch_index=0` or NO_BATCH, older ones `squeeze(0)`, which leaves an axis that is
    not of size one.
    """
    axes: list[int | None] = []
    for index, tensor in enumerate(inputs):
        line = re.search(rf'ex\.input\("in{index}",(.*)\)', script)
        found = re.search(r"(?:batch_index=|squeeze\()(\d+)", line.group(1)) if line else None
        axis = int(found.group(1)) if found else NO_BATCH
        axes.append(axis if axis < len(tensor.shape) and tensor.shape[axis] == 1 else None)
    return axes


def _toolchain(version: str) -> Packages:
    return Packages(
        name="pnnx",
        python="3.11",
        # Its declared torch is 5 GB and the program does not need it.
        dependencies=False,
        requirements=(f"pnnx=={pnnx_release(version)}",),
    )


def pnnx_release(version: str) -> str:
    """The newest known pnnx that is no younger than ncnn `version` (`1.0.20260526`), or the oldest known."""
    date = version.rpartition(".")[2]
    return max((release for release in RELEASES if release <= date), default=RELEASES[-1])


CONVERTER = Converter(
    name=lambda version: f"pnnx@{pnnx_release(version)}", options=_options, convert=_convert
)
