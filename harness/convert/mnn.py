"""ONNX to MNN through the converter inside the MNN wheel.

The wheel's own scripts are not used: importing MNN.tools installs and runs an uploader.
"""

from typing import Any

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Request
from harness.convert.rewrite import rewritten, version_of
from harness.environments import Packages, environment
from harness.errors import ConversionError
from harness.runtimes.mnn import MNN
from harness.spec import Precision
from harness.toolchains import TOOLS, require_files, run_tool

FLAGS: dict[Precision, list[str]] = {
    "fp32": [],
    "fp16": ["--fp16"],
    "w8": ["--weightQuantBits", "8", "--weightQuantBlock", "32"],
}
"""A step for every 32 weights: with one per channel a recogniser reads another text (docs/runtimes.md)."""

LIFT = "lift_weights.py"
"""For w8: steps under 1e-6 are taken for zero, and the channel's weights with them."""


def _options(precision: Precision, backend: str) -> dict[str, Any]:
    del backend
    lift = {"rewritten": version_of(LIFT)} if precision == "w8" else {}
    return {"flags": FLAGS[precision], **lift}


def _convert(cache: Cache, request: Request) -> Converted:
    tools = environment(cache, _toolchain(request.version))
    target = request.out / "model.mnn"
    lifted = request.out / "lifted.onnx"
    model = request.model.frozen
    if request.precision == "w8":
        model = rewritten(cache, LIFT, model, lifted)
    arguments = ["-f", "ONNX", "--modelFile", str(model), "--MNNModel", str(target)]
    printed = run_tool(
        "mnnconvert",
        tools.command(
            str(TOOLS / "mnn_convert.py"), *arguments, "--bizCode", "pocketbench", *FLAGS[request.precision]
        ),
        cwd=request.out,
        env=tools.variables(),
    )
    unsupported = [line.strip() for line in printed.splitlines() if "Not Support" in line]
    if unsupported:
        raise ConversionError(f"mnnconvert: {unsupported[0]}", printed)
    require_files("mnnconvert", printed, target)
    lifted.unlink(missing_ok=True)
    return Converted(files={"mnn": target.name})


def _toolchain(version: str) -> Packages:
    """The converter of the runtime's own version."""
    return Packages(
        name="mnnconvert", python=MNN.python, dependencies=False, requirements=MNN.packages(version)
    )


CONVERTER = Converter(name=lambda version: f"mnnconvert@{version}", options=_options, convert=_convert)
