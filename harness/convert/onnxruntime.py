"""ONNX for onnxruntime: as it is (fp32), by onnxconverter-common (fp16), by its own quantizers (less)."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Format, Request
from harness.convert.calibration import chosen_method
from harness.convert.rewrite import rewritten, version_of
from harness.environments import Packages, environment
from harness.errors import UnsupportedError
from harness.toolchains import ONNX, TOOLS, require_files, run_tool

ONNX_CONVERTER = "onnxconverter-common@1.16.0"

QUANTIZER = Packages(
    name="onnxruntime quantizer",
    python="3.11",
    dependencies=False,
    requirements=(
        "onnxruntime==1.32.0",
        "onnx_ir==1.1.0",
        "flatbuffers==25.12.19",
        *(
            item
            for item in ONNX.requirements
            if not item.startswith(("onnxslim", "onnxconverter", "colorama"))
        ),
    ),
)

FP16_KEPT = ("Resize",)
"""Operators left in fp32: onnxruntime's half-precision Resize rejects the float scales beside it."""

MATMUL, STATIC, WEIGHTS = "quantize_matmul.py", "quantize_onnx.py", "onnx_weights.py"

BLOCK = {"block_size": 32, "is_symmetric": False, "accuracy_level": 0}
"""A step and an offset for every 32 weights; at level 0 activations stay floats, at 4 they would not."""

METHODS = {"minmax": "MinMax", "percentile": "Percentile", "kl": "Entropy", "dynamic": "Dynamic"}

HEAVY = ["Conv", "ConvTranspose", "Gemm", "MatMul"]

EQUALIZE = "equalize_weights.py"
"""For int8: one step for a whole tensor has to suit all its channels."""

INT8 = {"activations": "QUInt8", "weights": "QInt8", "percentile": 99.999, "operators": HEAVY}
"""Unsigned activations with signed weights: twice as fast on x86 as both signed or both unsigned."""


def _options(form: Format) -> dict[str, Any]:
    if form.precision == "fp16":
        return {"keep_io_types": True, "op_block_list": list(FP16_KEPT)}
    if form.precision in {"w8", "w4"}:
        quantizer = {"quantizer": QUANTIZER.requirements[0], "script": version_of(MATMUL)}
        return {"bits": int(form.precision[1:]), **BLOCK, **quantizer}
    if form.precision == "int8":
        scripts = {"script": version_of(STATIC), "rewritten": version_of(EQUALIZE)}
        return {**INT8, "quantizer": QUANTIZER.requirements[0], **scripts}
    return {}


def _convert(cache: Cache, request: Request) -> Converted:
    target = request.out / "model.onnx"
    if request.precision == "fp32":
        shutil.copyfile(request.model.frozen, target)
        return Converted(files={"onnx": target.name})
    if request.precision == "fp16":
        _float16(cache, request)
        return Converted(files={"onnx": target.name})
    if request.precision == "int8":
        return Converted(files={"onnx": target.name}, found=_quantize(cache, request))
    return Converted(files={"onnx": target.name}, found=_quantize_matmuls(cache, request))


def _float16(cache: Cache, request: Request) -> None:
    options = {"keep_io_types": True, "op_block_list": list(FP16_KEPT)}
    _run(cache, ONNX, "onnxconverter-common", "float16_onnx.py", request, options)


def _quantize_matmuls(cache: Cache, request: Request) -> dict[str, Any]:
    """Quantize the weights of every MatMul; the other operators with weights are told, and left in fp32.

    Raises UnsupportedError for a model without a MatMul.
    """
    weighted = weighted_operators(cache, request)
    rest = {name: count for name, count in weighted.items() if name != "MatMul"}
    told = ", ".join(f"{count} {name}" for name, count in rest.items()) or "nothing with weights"
    if not weighted.get("MatMul"):
        raise UnsupportedError(
            f"onnxruntime keeps only the weights of MatMul in fewer bits, and {request.model.name} has none: "
            f"it has {told}"
        )
    options = {"bits": int(request.precision[1:]), **BLOCK}
    found = _run(cache, QUANTIZER, "onnxruntime's quantizer", MATMUL, request, options)
    return {**found, "left_in_fp32": rest}


def _quantize(cache: Cache, request: Request) -> dict[str, Any]:
    method = METHODS[chosen_method("onnxruntime", METHODS, request.calibration)]
    samples = request.calibration.samples if request.calibration else []
    equal = request.out / "equalized.onnx"
    order = {
        "model": str(rewritten(cache, EQUALIZE, request.model.frozen, equal)),
        "method": method,
        "options": INT8,
        "samples": [str(file) for file in samples],
    }
    found = _run(cache, QUANTIZER, "onnxruntime's quantizer", STATIC, request, order)
    equal.unlink(missing_ok=True)
    return found


def weighted_operators(cache: Cache, request: Request) -> dict[str, int]:
    """How many nodes with constant weights the model has, by operator."""
    key = {"model": request.model.sha256, "script": version_of(WEIGHTS)}

    def build(path: Path) -> None:
        tools = environment(cache, ONNX)
        arguments = [str(request.model.frozen), str(path / "weights.json")]
        run_tool(WEIGHTS, tools.command(str(TOOLS / WEIGHTS), *arguments), cwd=path, env=tools.variables())

    path = cache.entry("inspections", key, build)
    return msgspec.json.decode((path / "weights.json").read_bytes(), type=dict[str, int])


def _run(
    cache: Cache, packages: Packages, name: str, script: str, request: Request, options: dict[str, Any]
) -> dict[str, Any]:
    """Run `script` with an order on the model; returns what it found."""
    tools = environment(cache, packages)
    target, found = request.out / "model.onnx", request.out / "found.json"
    order = {"model": str(request.model.frozen), "out": str(target), **options}
    (request.out / "order.json").write_bytes(msgspec.json.encode(order))
    printed = run_tool(
        name,
        tools.command(str(TOOLS / script), "order.json"),
        cwd=request.out,
        env={**tools.variables(), "ORT_DISABLE_TELEMETRY": "1"},
    )
    require_files(name, printed, target)
    return msgspec.json.decode(found.read_bytes(), type=dict[str, Any]) if found.is_file() else {}


CONVERTER = Converter(
    name=lambda _version: ONNX_CONVERTER, options=_options, convert=_convert, methods=METHODS
)
