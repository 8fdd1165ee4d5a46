"""ONNX to Paddle through x2paddle (`cpu`), and on to an optimised .nb (`mobile`)."""

import shutil
from typing import Any

import msgspec

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Request
from harness.toolchains import TOOLS, X2PADDLE, require_files, run_tool
from harness.environments import Packages, environment
from harness.errors import ConversionError
from harness.runtimes.paddlelite import PADDLELITE
from harness.spec import Precision

OPT = Packages(
    name="paddle_lite_opt",
    python=PADDLELITE.python,
    dependencies=False,
    requirements=PADDLELITE.packages(PADDLELITE.default_version),
)


def _options(precision: Precision, backend: str) -> dict[str, Any]:
    del precision
    return {"valid_targets": "x86"} if backend == "mobile" else {}


def _convert(cache: Cache, request: Request) -> Converted:
    paddle = cache.entry(
        "paddle-models",
        {"model": request.model.sha256, "toolchain": X2PADDLE},
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
    tools = environment(cache, OPT)
    printed = run_tool(
        "paddle_lite_opt",
        tools.command(
            str(TOOLS / "paddlelite_opt.py"),
            str(paddle / "model.pdmodel"),
            str(paddle / "model.pdiparams"),
            str(request.out / "model"),
            "x86",
        ),
        cwd=request.out,
        env=tools.variables(),
    )
    require_files("paddle_lite_opt", printed, request.out / "model.nb")
    return Converted(files={"nb": "model.nb"}, job_options=names)


def _to_paddle(cache: Cache, request: Request) -> None:
    tools = environment(cache, X2PADDLE)
    saved = request.out / "saved"
    try:
        printed = run_tool(
            "x2paddle",
            tools.command(
                str(TOOLS / "x2paddle_convert.py"),
                "--framework=onnx",
                f"--model={request.model.frozen}",
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


def _unsupported_operators(printed: str) -> str:
    """x2paddle's list of operators, which it prints between a heading and an empty line."""
    lines = printed.splitlines()
    for number, line in enumerate(lines):
        if "are not supported" in line:
            names = [item.strip(" =") for item in lines[number + 1 : number + 12]]
            return f"x2paddle does not support: {', '.join(name for name in names if name)}"
    return ""


CONVERTER = Converter(
    name=f"{X2PADDLE.requirements[0]}+{X2PADDLE.requirements[1]}", options=_options, convert=_convert
)
