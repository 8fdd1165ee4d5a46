"""ONNX to ncnn through pnnx, and on to int8 by a script of our own, or by the user's copy of ncnn's tools."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.cache import Cache
from harness.convert import ncnn_tools, param_text
from harness.convert.base import Converted, Converter, Format, Request
from harness.convert.calibration import chosen_method
from harness.convert.ncnn_original import arrange, explained, in_file_order, place_original
from harness.convert.operators import told
from harness.convert.rewrite import placed, rewritten, time_for, version_of
from harness.environments import Packages, environment
from harness.errors import ConversionError, UnsupportedError
from harness.models.originals import PreparedOriginal
from harness.runtimes.ncnn import NCNN
from harness.spec import Precision, TensorSpec
from harness.spec.conversion import NcnnInt8
from harness.toolchains import TOOLS, ToolCrashedError, require_files, run_tool

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


def _options(form: Format) -> dict[str, Any]:
    options = {
        "fp16": int(form.precision == "fp16"),
        "rewritten": [version_of(script) for script in _rewritings(form.precision)],
    }
    if form.precision == "int8":
        return {**options, **_static(form), "scripts": [version_of(INT8), version_of(READER)]}
    return options


def _static(form: Format) -> dict[str, Any]:
    options: dict[str, Any] = msgspec.to_builtins(form.settings(NcnnInt8))
    return options


def _rewritings(precision: Precision) -> list[str]:
    more: dict[Precision, list[str]] = {"fp16": [LIFT], "int8": [EQUALIZE]}
    return [FLATTEN, *more.get(precision, [])]


def _convert(cache: Cache, request: Request) -> Converted:
    tools = environment(cache, _toolchain(request.version))
    original = request.model if isinstance(request.model, PreparedOriginal) else None
    model = place_original(original, request.out) if original else _rewritten(cache, request)
    inputs = in_file_order(original) if original else request.model.inputs
    shapes = ",".join(
        f"[{','.join(str(size) for size in tensor.shape)}]{TYPES.get(tensor.dtype, tensor.dtype)}"
        for tensor in inputs
    )
    half = f"fp16={int(request.precision == 'fp16')}"
    command = [str(tools.site / "pnnx" / "pnnx"), model.name, f"inputshape={shapes}", half]
    try:
        printed = run_tool("pnnx", command, cwd=request.out, env={}, timeout_s=time_for(model))
    except ToolCrashedError as error:
        raise (explained(error) if original else error) from None
    param, weights = request.out / "model.ncnn.param", request.out / "model.ncnn.bin"
    require_files("pnnx", printed, param)
    _refuse_unknown_layers(cache, request.version, param, printed)
    # Not by size: a network without weights has an empty file of them.
    if not weights.is_file():
        raise ConversionError(f"pnnx wrote {param.name} and no {weights.name}", printed)
    axes = _batch_axes((request.out / "model_ncnn.py").read_text(), inputs)
    if original:
        axes = arrange(param, original, axes)
    for leftover in request.out.glob("model*"):
        if leftover not in {param, weights}:
            leftover.unlink()
    found = _quantize(cache, request, param, weights, axes) if request.precision == "int8" else {}
    return Converted(
        files={"param": param.name, "bin": weights.name}, job_options={"batch_axes": axes}, found=found
    )


def _rewritten(cache: Cache, request: Request) -> Path:
    """The ONNX where pnnx may write its dozen files beside it, without what it or ncnn cannot take."""
    source = request.onnx
    for script in _rewritings(request.precision):
        source = rewritten(cache, script, source, request.out / f"model.{script}.onnx")
    model = request.out / "model.onnx"
    placed(cache, source, model)
    return model


def _quantize(
    cache: Cache, request: Request, param: Path, weights: Path, axes: Sequence[int | None]
) -> dict[str, Any]:
    """Put an int8 network in the place of the fp32 one; returns which layers it has in which precision."""
    method = chosen_method("ncnn", METHODS, request.calibration)
    floats = {file: file.rename(file.with_name(f"float.{file.name}")) for file in (param, weights)}
    if supplied := _supplied(method):
        network = ncnn_tools.FloatNetwork(
            param=floats[param], weights=floats[weights], inputs=request.model.inputs, axes=axes
        )
        samples = request.calibration.samples if request.calibration else []
        leave_out = request.form("ncnn").settings(NcnnInt8).leave_out
        found = ncnn_tools.quantize(supplied, network, samples, leave_out, (param, weights))
    else:
        found = _quantize_here(cache, request, method, floats, axes)
    for file in floats.values():
        file.unlink()
    if not found["int8"]:
        leave_out = request.form("ncnn").settings(NcnnInt8).leave_out
        besides = f" beside what is left out: {', '.join(leave_out)}" if leave_out else ""
        raise UnsupportedError(
            f"ncnn computes {', '.join(ncnn_tools.QUANTIZABLE)} in int8, and {request.model.name} has none "
            f"of them{besides}"
        )
    return found


def _quantize_here(
    cache: Cache,
    request: Request,
    method: str,
    floats: Mapping[Path, Path],
    axes: Sequence[int | None],
) -> dict[str, Any]:
    """The same by our own script: `floats` are the fp32 files, by the names that the int8 ones get."""
    tools = environment(cache, _runtime(request.version))
    param, weights = floats
    order = {
        "param": str(floats[param]),
        "bin": str(floats[weights]),
        "out_param": str(param),
        "out_bin": str(weights),
        "method": method,
        **_static(request.form("ncnn")),
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
    found: dict[str, Any] = msgspec.json.decode((request.out / "found.json").read_bytes())
    return found


def _supplied(method: str) -> ncnn_tools.NcnnTools | None:
    """The user's tools, if there are any and they do what `method` asks for."""
    return ncnn_tools.NcnnTools.supplied() if method == ncnn_tools.METHOD else None


def _told_of_tools(method: str) -> dict[str, Any]:
    supplied = _supplied(method)
    return {"tools": supplied.version} if supplied else {}


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
    tools=_told_of_tools,
)
