"""ONNX to Paddle through x2paddle (`cpu`), and on to an optimised .nb (`mobile`)."""

import shutil
from typing import Any

import msgspec

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Request
from harness.convert.rewrite import rewritten, version_of
from harness.environments import Packages, environment
from harness.errors import ConversionError, UnsupportedError
from harness.runtimes.paddlelite import PADDLELITE
from harness.spec import Precision
from harness.toolchains import TOOLS, X2PADDLE, require_files, run_tool

X2PADDLE_OPSET = 12
"""x2paddle reads opsets to 15, but takes axes for unknown where they are an input, as they are from 13 on."""

LOWER = "lower_opset.py"


TARGETS = {"x86_64": "x86", "i686": "x86", "aarch64": "arm", "armv7l": "arm"}
"""Processor -> the kernels an .nb file is made for; a Paddle model (`cpu`) is the same for all."""


def _options(precision: Precision, backend: str) -> dict[str, Any]:
    del precision, backend
    return {"opset": X2PADDLE_OPSET, "rewritten": version_of(LOWER)}


def _target(backend: str, arch: str | None) -> dict[str, Any]:
    if backend != "mobile":
        return {}
    if arch is not None and arch not in TARGETS:
        raise UnsupportedError(f"Paddle-Lite's mobile backend has no kernels for {arch}: use cpu")
    return {"valid_targets": TARGETS[arch] if arch else "x86"}


def _convert(cache: Cache, request: Request) -> Converted:
    paddle = cache.entry(
        "paddle-models",
        {
            "model": request.model.sha256,
            "toolchain": X2PADDLE,
            "opset": X2PADDLE_OPSET,
            "rewritten": version_of(LOWER),
        },
        lambda path: _to_paddle(cache, msgspec.structs.replace(request, out=path)),
    )
    # x2paddle puts this before every name.
    names = {"input_names": {t.name: f"x2paddle_{t.name}" for t in request.model.inputs}}
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
            _target(request.backend, request.arch)["valid_targets"],
        ),
        cwd=request.out,
        env=tools.variables(),
    )
    require_files("paddle_lite_opt", printed, request.out / "model.nb")
    return Converted(files={"nb": "model.nb"}, job_options=names)


def _to_paddle(cache: Cache, request: Request) -> None:
    tools = environment(cache, X2PADDLE)
    saved, lowered = request.out / "saved", request.out / "lowered.onnx"
    model = rewritten(cache, LOWER, request.model.frozen, lowered, str(X2PADDLE_OPSET))
    try:
        printed = run_tool(
            "x2paddle",
            tools.command(
                str(TOOLS / "x2paddle_convert.py"),
                "--framework=onnx",
                f"--model={model}",
                f"--save_dir={saved}",
                "--disable_feedback",
                "True",
            ),
            cwd=request.out,
            env=tools.variables(),
        )
    except ConversionError as error:
        raise ConversionError(_unsupported_operators(error.log) or str(error), error.log) from error
    found = _unsupported_operators(printed)
    if found:
        raise ConversionError(found, printed)
    inference = saved / "inference_model"
    require_files("x2paddle", printed, inference / "model.pdmodel", inference / "model.pdiparams")
    for name in ("model.pdmodel", "model.pdiparams"):
        (inference / name).rename(request.out / name)
    shutil.rmtree(saved)
    lowered.unlink(missing_ok=True)


def _unsupported_operators(printed: str) -> str:
    """x2paddle's list of operators: after a heading, each between two rows of equals signs."""
    lines = printed.splitlines()
    for number, line in enumerate(lines):
        if "are not supported" in line:
            named = [line.strip(" =") for line in lines[number + 1 :] if line.startswith("==")]
            return f"x2paddle does not support: {', '.join(name for name in named if name)}"
    return ""


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
    target=_target,
)
