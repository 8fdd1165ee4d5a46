"""ONNX to ncnn through pnnx, and on to int8 by a script of our own: ncnn's tools for it are in no package."""

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.cache import Cache
from harness.convert import param_text
from harness.convert.base import Converted, Converter, Format, Request
from harness.convert.calibration import chosen_method
from harness.convert.operators import told
from harness.convert.rewrite import rewritten, version_of
from harness.environments import Packages, environment
from harness.errors import ConversionError, UnsupportedError
from harness.runtimes.ncnn import NCNN
from harness.spec import Precision, TensorSpec
from harness.toolchains import TOOLS, require_files, run_tool

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

EQUALIZE = "equalize_weights.py"
"""For int8: one step for a whole tensor has to suit all its channels."""

INT8, READER = "ncnn_int8.py", "ncnn_files.py"

LACKED = "ncnn_layers.py"

METHODS = {"percentile": "percentile", "kl": "kl", "minmax": "minmax"}

PERCENTILE = 99.999

QUANTIZABLE = ("Convolution", "ConvolutionDepthWise", "InnerProduct")


def _options(form: Format) -> dict[str, Any]:
    options = {
        "fp16": int(form.precision == "fp16"),
        "rewritten": [version_of(script) for script in _rewritings(form.precision)],
    }
    if form.precision == "int8":
        return {**options, "percentile": PERCENTILE, "scripts": [version_of(INT8), version_of(READER)]}
    return options


def _rewritings(precision: Precision) -> list[str]:
    more: dict[Precision, list[str]] = {"fp16": [LIFT], "int8": [EQUALIZE]}
    return [FLATTEN, *more.get(precision, [])]


def _convert(cache: Cache, request: Request) -> Converted:
    tools = environment(cache, _toolchain(request.version))
    source = request.model.frozen
    for script in _rewritings(request.precision):
        source = rewritten(cache, script, source, request.out / f"model.{script}.onnx")
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
    _refuse_unknown_layers(cache, request.version, param, printed)
    # Not by size: a network without weights has an empty file of them.
    if not weights.is_file():
        raise ConversionError(f"pnnx wrote {param.name} and no {weights.name}", printed)
    axes = _batch_axes((request.out / "model_ncnn.py").read_text(), request.model.inputs)
    for leftover in request.out.glob("model*"):
        if leftover not in {param, weights}:
            leftover.unlink()
    found = _quantize(cache, request, param, weights, axes) if request.precision == "int8" else {}
    return Converted(
        files={"param": param.name, "bin": weights.name}, job_options={"batch_axes": axes}, found=found
    )


def _quantize(
    cache: Cache, request: Request, param: Path, weights: Path, axes: Sequence[int | None]
) -> dict[str, Any]:
    """Put an int8 network in the place of the fp32 one; returns which layers it has in which precision."""
    method = chosen_method("ncnn", METHODS, request.calibration)
    tools = environment(cache, _runtime(request.version))
    floats = {file: file.rename(file.with_name(f"float.{file.name}")) for file in (param, weights)}
    order = {
        "param": str(floats[param]),
        "bin": str(floats[weights]),
        "out_param": str(param),
        "out_bin": str(weights),
        "method": method,
        "percentile": PERCENTILE,
        "samples": [str(file) for file in request.calibration.samples] if request.calibration else [],
        "inputs": [[tensor.name, axis] for tensor, axis in zip(request.model.inputs, axes, strict=True)],
    }
    (request.out / "order.json").write_bytes(msgspec.json.encode(order))
    printed = run_tool(
        "ncnn int8",
        tools.command(str(TOOLS / INT8), "order.json"),
        cwd=request.out,
        env={**tools.variables(), "OMP_WAIT_POLICY": "passive"},
        timeout_s=1800.0,
    )
    require_files("ncnn int8", printed, param, weights)
    for file in floats.values():
        file.unlink()
    found = msgspec.json.decode((request.out / "found.json").read_bytes(), type=dict[str, Any])
    if not found["int8"]:
        raise UnsupportedError(
            f"ncnn computes {', '.join(QUANTIZABLE)} in int8, and {request.model.name} has none of them"
        )
    return found


def _refuse_unknown_layers(cache: Cache, version: str, param: Path, printed: str) -> None:
    """Raise ConversionError for layers that ncnn `version` does not have.

    pnnx leaves what it cannot lower in the .param: under its own names, or under those of the source, which
    may be a layer's of another ncnn or nobody's.
    """
    counts = Counter(layer.kind for layer in param_text.read_layers(param.read_text("utf-8")))
    tools = environment(cache, _runtime(version))
    asked = run_tool(
        "asking ncnn for its layers",
        tools.command(str(TOOLS / LACKED), *sorted(counts)),
        cwd=param.parent,
        env=tools.variables(),
    )
    unknown = [line.removeprefix("lacked ") for line in asked.splitlines() if line.startswith("lacked ")]
    if unknown:
        raise ConversionError(f"ncnn has no layer for {told(unknown, counts)}", printed)


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


def _runtime(version: str) -> Packages:
    """The runtime itself: it knows its layers, and calibration samples are run in it."""
    return Packages(name="ncnn", python=NCNN.python, dependencies=False, requirements=NCNN.packages(version))


def pnnx_release(version: str) -> str:
    """The newest known pnnx that is no younger than ncnn `version` (`1.0.20260526`), or the oldest known."""
    date = version.rpartition(".")[2]
    return max((release for release in RELEASES if release <= date), default=RELEASES[-1])


CONVERTER = Converter(
    name=lambda version: f"pnnx@{pnnx_release(version)}",
    options=_options,
    convert=_convert,
    methods=METHODS,
)
