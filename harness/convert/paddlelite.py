"""ONNX to Paddle through x2paddle (`cpu`), and on to an optimised .nb (`mobile`)."""

import shutil
from pathlib import Path
from typing import Any

import msgspec

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Format, Request
from harness.convert.calibration import chosen_method
from harness.convert.operators import count_operators, told
from harness.convert.paddlelite_original import combined
from harness.convert.rewrite import refuse_beside, rewritten, time_for, version_of
from harness.environments import Environment, Packages, environment
from harness.errors import ConversionError, UnsupportedError
from harness.models.originals import PreparedOriginal
from harness.runtimes.paddlelite import PADDLELITE
from harness.spec import Precision
from harness.spec.conversion import PaddleliteInt8
from harness.toolchains import TOOLS, X2PADDLE, require_files, run_tool

X2PADDLE_OPSET = 12
"""x2paddle reads opsets to 15, but takes axes for unknown where they are an input, as they are from 13 on."""

LOWER = "lower_opset.py"

X2PADDLE_SCRIPT = "x2paddle_convert.py"

PREFIX = "x2paddle_"
"""What x2paddle puts before every name."""


TARGETS = {"x86_64": "x86", "i686": "x86", "aarch64": "arm", "armv7l": "arm"}
"""Processor -> the kernels an .nb file is made for; a Paddle model (`cpu`) is the same for all."""


FLAGS: dict[Precision, list[str]] = {
    "fp16": ["--fp16"],
    "w16": ["--quantize", "QUANT_INT16"],
    "w8": ["--quantize", "QUANT_INT8"],
}
"""What the optimiser is told beyond the target."""

INT8 = "paddle_int8.py"

METHODS = {"minmax": "abs_max", "percentile": "hist", "kl": "KL", "ema": "avg"}


def _options(form: Format) -> dict[str, Any]:
    options = {
        "opset": X2PADDLE_OPSET,
        "rewritten": version_of(LOWER),
        "x2paddle": version_of(X2PADDLE_SCRIPT),
        **_target(form),
    }
    if form.precision == "int8":
        if options.get("valid_targets") != "arm":
            raise UnsupportedError(
                "Paddle-Lite's int8 convolutions give other values at every launch on x86 "
                "(ppocr_cls: cosine 1.00, 0.998 and 0.90 in three); ARM has --backend mobile"
            )
        return {**options, **_static(form), "script": version_of(INT8)}
    if form.precision not in FLAGS:
        return options
    if form.backend != "mobile":
        raise UnsupportedError(
            f"Paddle-Lite has {form.precision} only in optimised .nb files: ask for --backend mobile"
        )
    if form.precision == "fp16" and options["valid_targets"] != "arm":
        raise UnsupportedError("Paddle-Lite has half-precision kernels for ARM only")
    return {**options, "flags": FLAGS[form.precision]}


def _static(form: Format) -> dict[str, Any]:
    options: dict[str, Any] = msgspec.to_builtins(form.settings(PaddleliteInt8))
    return options


def _target(form: Format) -> dict[str, Any]:
    if form.backend != "mobile":
        return {}
    if form.arch is not None and form.arch not in TARGETS:
        raise UnsupportedError(f"Paddle-Lite's mobile backend has no kernels for {form.arch}: use cpu")
    return {"valid_targets": TARGETS[form.arch] if form.arch else "x86"}


def _convert(cache: Cache, request: Request) -> Converted:
    paddle = _paddle_model(cache, request)
    names = {"input_names": _names(request)}
    if request.precision == "int8":
        paddle = _quantize(request, environment(cache, X2PADDLE), paddle)
    if request.backend == "cpu":
        for name in ("model.pdmodel", "model.pdiparams"):
            shutil.copyfile(paddle / name, request.out / name)
        return Converted(
            files={"pdmodel": "model.pdmodel", "pdiparams": "model.pdiparams"}, job_options=names
        )
    tools = environment(cache, _opt(request.version))
    printed = run_tool(
        "paddle_lite_opt",
        tools.command(
            str(TOOLS / "paddlelite_opt.py"),
            str(paddle / "model.pdmodel"),
            str(paddle / "model.pdiparams"),
            str(request.out / "model"),
            _target(request.form("paddlelite"))["valid_targets"],
            *FLAGS.get(request.precision, []),
        ),
        cwd=request.out,
        env=tools.variables(),
    )
    require_files("paddle_lite_opt", printed, request.out / "model.nb")
    shutil.rmtree(request.out / "quantized", ignore_errors=True)
    return Converted(files={"nb": "model.nb"}, job_options=names)


def _paddle_model(cache: Cache, request: Request) -> Path:
    """Directory of model.pdmodel and model.pdiparams."""
    if isinstance(request.model, PreparedOriginal):
        return combined(cache, request.model)
    key = {
        "model": request.model.sha256,
        "toolchain": X2PADDLE,
        "opset": X2PADDLE_OPSET,
        "rewritten": version_of(LOWER),
        "script": version_of(X2PADDLE_SCRIPT),
    }
    return cache.entry(
        "paddle-models", key, lambda path: _to_paddle(cache, msgspec.structs.replace(request, out=path))
    )


def _names(request: Request) -> dict[str, str]:
    """What the Paddle model calls the inputs, by the names that they have in the request."""
    prefix = "" if isinstance(request.model, PreparedOriginal) else PREFIX
    return {tensor.name: f"{prefix}{tensor.name}" for tensor in request.model.inputs}


def _quantize(request: Request, tools: Environment, paddle: Path) -> Path:
    """Directory of a Paddle model with int8 ranges read off the calibration samples."""
    method = chosen_method("paddlelite", METHODS, request.calibration)
    quantized = request.out / "quantized"
    order: dict[str, Any] = {
        "model": str(paddle / "model"),
        "algorithm": METHODS[method],
        **_static(request.form("paddlelite")),
        "samples": [str(file) for file in request.calibration.samples] if request.calibration else [],
        "names": {there: name for name, there in _names(request).items()},
        "out": str(quantized),
    }
    (request.out / "order.json").write_bytes(msgspec.json.encode(order))
    printed = run_tool(
        f"paddle's quantizer ({method})",
        tools.command(str(TOOLS / INT8), "order.json"),
        cwd=request.out,
        env=tools.variables(),
        timeout_s=1800.0,
    )
    require_files("paddle's quantizer", printed, quantized / "model.pdmodel", quantized / "model.pdiparams")
    found = msgspec.json.decode((request.out / "found.json").read_bytes(), type=dict[str, int])
    if not found["quantizing_operators"]:
        asked = ", ".join(order["operators"])
        raise UnsupportedError(
            f"Paddle-Lite computes {asked} in int8 here, and Paddle's quantizer finds none in "
            f"{request.model.name}"
        )
    return quantized


def _to_paddle(cache: Cache, request: Request) -> None:
    refuse_beside(request.onnx, "x2paddle")
    tools = environment(cache, X2PADDLE)
    saved, lowered = request.out / "saved", request.out / "lowered.onnx"
    model = rewritten(cache, LOWER, request.onnx, lowered, str(X2PADDLE_OPSET))
    try:
        printed = run_tool(
            "x2paddle",
            tools.command(
                str(TOOLS / X2PADDLE_SCRIPT),
                "--framework=onnx",
                f"--model={model}",
                f"--save_dir={saved}",
                "--disable_feedback",
                "True",
            ),
            cwd=request.out,
            env=tools.variables(),
            timeout_s=time_for(model),
        )
    except ConversionError as error:
        _refuse_unsupported(cache, model, error.log)
        raise
    _refuse_unsupported(cache, model, printed)
    inference = saved / "inference_model"
    require_files("x2paddle", printed, inference / "model.pdmodel", inference / "model.pdiparams")
    for name in ("model.pdmodel", "model.pdiparams"):
        (inference / name).rename(request.out / name)
    shutil.rmtree(saved)
    lowered.unlink(missing_ok=True)


def _refuse_unsupported(cache: Cache, model: Path, printed: str) -> None:
    """Raise ConversionError with the operators that x2paddle says it lacks, each with how many there are."""
    named = _unsupported_operators(printed)
    if named:
        lacking = told(named, count_operators(cache, model))
        raise ConversionError(f"Paddle-Lite's converter x2paddle does not support {lacking}", printed)


def _unsupported_operators(printed: str) -> list[str]:
    """x2paddle's list of operators: after a heading, each between two rows of equals signs."""
    lines = printed.splitlines()
    for number, line in enumerate(lines):
        if "are not supported" in line:
            named = [line.strip(" =") for line in lines[number + 1 :] if line.startswith("==")]
            return [name for name in named if name]
    return []


def _opt(version: str) -> Packages:
    """The optimiser of the runtime's own version."""
    return Packages(
        name="paddle_lite_opt",
        python=PADDLELITE.python,
        dependencies=False,
        requirements=PADDLELITE.packages(version),
    )


CONVERTER = Converter(
    name=lambda version: f"{X2PADDLE.requirements[0]}+{X2PADDLE.requirements[1]}+opt@{version}",
    options=_options,
    convert=_convert,
    methods=METHODS,
    original_name=lambda version: f"opt@{version}",
)
