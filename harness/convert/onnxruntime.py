"""ONNX for onnxruntime: as it is (fp32), by onnxconverter-common (fp16), by its own quantizers (less)."""

from pathlib import Path
from typing import Any

import msgspec

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Format, Request
from harness.convert.calibration import chosen_method
from harness.convert.rewrite import placed, refuse_beside, rewritten, time_for, version_of
from harness.environments import Packages, environment
from harness.errors import UnsupportedError
from harness.models.prepare import weights_beside
from harness.spec.conversion import OnnxruntimeFp16, OnnxruntimeInt8, OnnxruntimeWeights
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
"""Operators always left in fp32: onnxruntime's half-precision Resize rejects the float scales beside it."""

MATMUL, STATIC, RANGES, SENSITIVITY, WEIGHTS = (
    "quantize_matmul.py",
    "quantize_onnx.py",
    "onnx_ranges.py",
    "onnx_sensitivity.py",
    "onnx_weights.py",
)

STATIC_LIMIT_S = 1800.0
"""Least time of the static quantizer: it runs all samples, and the model once for each of its operators."""

SEARCH_SHARE = 0.6
"""How much of that may have passed while it still looks for the operators that lose most."""

METHODS = {"minmax": "MinMax", "percentile": "Percentile", "kl": "Entropy", "dynamic": "Dynamic"}

HALF = "float16_onnx.py"

EQUALIZE = "equalize_weights.py"
"""For int8: one step for a whole tensor has to suit all its channels."""


def _options(form: Format) -> dict[str, Any]:
    quantizer = {"quantizer": QUANTIZER.requirements[0]}
    if form.precision == "fp16":
        return {**_half(form), "script": version_of(HALF)}
    if form.precision in {"w8", "w4"}:
        return {**_blocks(form), **quantizer, "script": version_of(MATMUL)}
    if form.precision == "int8":
        scripts = {
            "script": version_of(STATIC),
            "ranges": version_of(RANGES),
            "sensitivity": version_of(SENSITIVITY),
            "counted": version_of(WEIGHTS),
        }
        return {**_static(form), **quantizer, **scripts, "rewritten": version_of(EQUALIZE)}
    return {}


def _half(form: Format) -> dict[str, Any]:
    asked = form.settings(OnnxruntimeFp16)
    kept = [*FP16_KEPT, *asked.float_operators]
    return {"keep_io_types": True, "op_block_list": kept, "node_block_list": list(asked.leave_out)}


def _blocks(form: Format) -> dict[str, Any]:
    asked = form.settings(OnnxruntimeWeights)
    return {
        "bits": int(form.precision[1:]),
        "block_size": asked.block,
        "is_symmetric": asked.symmetric,
        "accuracy_level": asked.accuracy_level,
        "nodes_to_exclude": list(asked.leave_out),
    }


def _static(form: Format) -> dict[str, Any]:
    options: dict[str, Any] = msgspec.to_builtins(form.settings(OnnxruntimeInt8))
    return options


def _convert(cache: Cache, request: Request) -> Converted:
    target = request.out / "model.onnx"
    found: dict[str, Any] = {}
    if request.precision == "fp32":
        placed(cache, request.onnx, target)
    elif request.precision == "fp16":
        _float16(cache, request)
    elif request.precision == "int8":
        found = _quantize(cache, request)
    else:
        found = _quantize_matmuls(cache, request)
    # Named in the model, by which the runtime finds it.
    weights = weights_beside(target)
    beside = {"weights": weights.name} if weights else {}
    return Converted(files={"onnx": target.name, **beside}, found=found)


def _float16(cache: Cache, request: Request) -> None:
    options = _half(request.form("onnxruntime"))
    _run(cache, ONNX, "onnxconverter-common", HALF, request, options)


def _quantize_matmuls(cache: Cache, request: Request) -> dict[str, Any]:
    """Quantize the weights of every MatMul; the other operators with weights are told, and left in fp32.

    Raises UnsupportedError for a model without a MatMul, or with all of them left out.
    """
    weighted = weighted_operators(cache, request)
    rest = {name: count for name, count in weighted.items() if name != "MatMul"}
    told = ", ".join(f"{count} {name}" for name, count in rest.items()) or "nothing with weights"
    if not weighted.get("MatMul"):
        raise UnsupportedError(
            f"onnxruntime keeps only the weights of MatMul in fewer bits, and {request.model.name} has none: "
            f"it has {told}"
        )
    options = _blocks(request.form("onnxruntime"))
    found = _run(cache, QUANTIZER, "onnxruntime's quantizer", MATMUL, request, options)
    if not found["MatMulNBits"]:
        left = ", ".join(options["nodes_to_exclude"]) or "none"
        raise UnsupportedError(
            f"onnxruntime's quantizer finds no MatMul of {request.model.name} to quantize; left out: {left}"
        )
    if floats := weighted["MatMul"] - found["MatMulNBits"]:
        rest["MatMul"] = floats
    return {**found, "left_in_fp32": rest}


def _quantize(cache: Cache, request: Request) -> dict[str, Any]:
    """Quantize weights and activations; raises UnsupportedError where that leaves the model as it is."""
    method = METHODS[chosen_method("onnxruntime", METHODS, request.calibration)]
    samples = request.calibration.samples if request.calibration else []
    refuse_beside(request.onnx, "onnxruntime's static quantizer")
    equal = request.out / "equalized.onnx"
    options, limit_s = _static(request.form("onnxruntime")), max(STATIC_LIMIT_S, time_for(request.onnx))
    order = {
        "model": str(rewritten(cache, EQUALIZE, request.onnx, equal)),
        "method": method,
        "options": options,
        "samples": [str(file) for file in samples],
        "search_s": SEARCH_SHARE * limit_s,
    }
    found = _run(cache, QUANTIZER, "onnxruntime's quantizer", STATIC, request, order, limit_s=limit_s)
    equal.unlink(missing_ok=True)
    if not found["quantizing_operators"]:
        raise UnsupportedError(
            f"onnxruntime's quantizer finds nothing of {request.model.name} to quantize. It looks for "
            f"{', '.join(options['operators'])} but for convolutions in groups (depthwise = true) and "
            f"what is left out: {', '.join(options['leave_out']) or 'nothing'}"
        )
    return found


def weighted_operators(cache: Cache, request: Request) -> dict[str, int]:
    """How many nodes with constant weights the model has, by operator."""
    key = {"model": request.model.sha256, "script": version_of(WEIGHTS)}

    def build(path: Path) -> None:
        tools = environment(cache, ONNX)
        arguments = [str(request.onnx), str(path / "weights.json")]
        run_tool(WEIGHTS, tools.command(str(TOOLS / WEIGHTS), *arguments), cwd=path, env=tools.variables())

    path = cache.entry("inspections", key, build)
    return msgspec.json.decode((path / "weights.json").read_bytes(), type=dict[str, int])


def _run(
    cache: Cache,
    packages: Packages,
    name: str,
    script: str,
    request: Request,
    options: dict[str, Any],
    *,
    limit_s: float | None = None,
) -> dict[str, Any]:
    """Run `script` with an order on the model; returns what it found. `limit_s` is None for the usual one."""
    tools = environment(cache, packages)
    target, found = request.out / "model.onnx", request.out / "found.json"
    order = {"model": str(request.onnx), "out": str(target), **options}
    (request.out / "order.json").write_bytes(msgspec.json.encode(order))
    printed = run_tool(
        name,
        tools.command(str(TOOLS / script), "order.json"),
        cwd=request.out,
        env={**tools.variables(), "ORT_DISABLE_TELEMETRY": "1"},
        timeout_s=limit_s or time_for(request.onnx),
    )
    require_files(name, printed, target)
    return msgspec.json.decode(found.read_bytes(), type=dict[str, Any]) if found.is_file() else {}


CONVERTER = Converter(
    name=lambda _version: ONNX_CONVERTER, options=_options, convert=_convert, methods=METHODS
)
