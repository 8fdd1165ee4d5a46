"""ONNX to MNN through the converter inside the MNN wheel, and to int8 through the quantizer in it.

The wheel's own scripts are not used: importing MNN.tools installs and runs an uploader.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Format, Request
from harness.convert.calibration import Calibration, chosen_method
from harness.convert.mnn_original import convert_original
from harness.convert.operators import count_operators, told
from harness.convert.rewrite import refuse_beside, rewritten, time_for, version_of
from harness.environments import Environment, Packages, environment
from harness.errors import ConversionError, UnknownNameError
from harness.models.doctor.formats.mnn import convolutions
from harness.models.originals import PreparedOriginal
from harness.runtimes.mnn import MNN
from harness.spec import Precision
from harness.spec.conversion import MnnInt8, MnnWeights
from harness.toolchains import TOOLS, require_files, run_tool

BITS: dict[Precision, str] = {"w8": "8", "w4": "4"}

SYMMETRIC = "--weightQuantAsymmetric"
"""With it, whatever its value, steps are symmetric in MNN 3.0.0 to 3.6.1; name and help say the reverse."""

HQQ_SINCE = (3, 4)
"""Before, `--hqq` is no option: steps and offsets are then by the smallest and largest weight."""

LIFT, EQUALIZE = "lift_weights.py", "equalize_weights.py"
REWRITINGS: dict[Precision, tuple[str, ...]] = {
    "w8": (LIFT,),
    "w4": (EQUALIZE, LIFT),
    "int8": (EQUALIZE, LIFT),
}
"""LIFT: steps under 1e-6 are taken for zero, and the channel's weights with them."""

METHODS = {"admm": "ADMM", "kl": "KL", "ema": "EMA"}

QUANTIZER: dict[str, Any] = {"batch_size": 1, "quant_bits": 8}
"""A batch of one: the inputs' shapes are fixed."""

APART = ".weight"
"""Above 2 GB mnnconvert writes weights to a file of their own, which the runtime finds by this ending."""

NOT_SUPPORTED = re.compile(r"Not Support(?:ed)?[:\s]+(?:ONNX::)?(\w+)", re.IGNORECASE)


def _options(form: Format) -> dict[str, Any]:
    scripts = REWRITINGS.get(form.precision, ())
    rewriting = {"rewritten": [version_of(script) for script in scripts]} if scripts else {}
    quantizer = {"quantizer": _quantizer(form)} if form.precision == "int8" else {}
    return {"flags": _flags(form), **rewriting, **quantizer}


def _flags(form: Format) -> list[str]:
    """What mnnconvert is told beyond the files."""
    if form.precision == "fp16":
        return ["--fp16"]
    if form.precision not in BITS:
        return []
    asked = form.settings(MnnWeights)
    numbers = tuple(int(part) for part in re.findall(r"\d+", form.version)[:2])
    return [
        *("--weightQuantBits", BITS[form.precision]),
        *(("--weightQuantBlock", str(asked.block)) if asked.block else ()),
        *((SYMMETRIC,) if asked.symmetric else ()),
        *(("--hqq",) if asked.hqq and numbers >= HQQ_SINCE else ()),
    ]


def _quantizer(form: Format) -> dict[str, Any]:
    """What mnnquant is told beyond the samples and how it reads them."""
    asked = form.settings(MnnInt8)
    return {
        **QUANTIZER,
        "weight_quantize_method": asked.weight_method.upper(),
        "feature_clamp_value": asked.feature_clamp,
        "skip_quant_op_names": list(asked.leave_out),
    }


def _convert(cache: Cache, request: Request) -> Converted:
    tools = environment(cache, _toolchain(request.version))
    target = request.out / "model.mnn"
    flags = _flags(request.form("mnn"))
    if isinstance(request.model, PreparedOriginal):
        convert_original(tools, request.model, target, flags)
    else:
        model = request.onnx
        if request.precision == "int8":
            refuse_beside(model, "mnnquant")
        for script in REWRITINGS.get(request.precision, ()):
            model = rewritten(cache, script, model, request.out / f"{script}.onnx")
        _run_converter(cache, tools, model, target, flags)
    for leftover in request.out.glob("*.onnx*"):
        leftover.unlink()
    if request.precision == "int8":
        _quantize(tools, request, target)
    weights = target.with_name(f"{target.name}{APART}")
    beside = {"weights": weights.name} if weights.is_file() else {}
    return Converted(files={"mnn": target.name, **beside})


def _run_converter(cache: Cache, tools: Environment, model: Path, target: Path, flags: list[str]) -> None:
    """Run mnnconvert; raises ConversionError naming the operators that MNN does not have."""
    arguments = ["-f", "ONNX", "--modelFile", str(model), "--MNNModel", str(target)]
    printed = run_tool(
        "mnnconvert",
        tools.command(str(TOOLS / "mnn_convert.py"), *arguments, "--bizCode", "pocketbench", *flags),
        cwd=target.parent,
        env=tools.variables(),
        timeout_s=time_for(model),
    )
    unsupported = unsupported_operators(printed)
    if unsupported:
        # It names each kind once, however many there are.
        lacking = told(unsupported, count_operators(cache, model))
        raise ConversionError(f"MNN does not support {lacking}", printed)
    require_files("mnnconvert", printed, target)


def unsupported_operators(printed: str) -> set[str]:
    """Operators that mnnconvert says it lacks."""
    return set(NOT_SUPPORTED.findall(printed))


def _quantize(tools: Environment, request: Request, target: Path) -> None:
    """Replace the fp32 model at `target` by one whose ranges were read off the calibration samples.

    Raises ConversionError when mnnquant crashes or leaves nothing.
    """
    method = chosen_method("mnn", METHODS, request.calibration)
    source, folder = request.out / "float.mnn", request.out / "samples"
    for name in request.form("mnn").settings(MnnInt8).leave_out:
        # mnnquant would pass over a name that is not there.
        if name not in (known := convolutions(target)):
            raise UnknownNameError("convolution", name, known, f"{request.model.name} in MNN")
    target.rename(source)
    if request.calibration is not None:
        _write_samples(request, request.calibration, folder)
    config = {
        **_quantizer(request.form("mnn")),
        "path": f"{folder}/",
        "used_sample_num": len(list(folder.iterdir())),
        "input_type": "sequence",
        "feature_quantize_method": METHODS[method],
    }
    (request.out / "quantizer.json").write_text(json.dumps(config))
    printed = run_tool(
        f"mnnquant ({method})",
        tools.command(str(TOOLS / "mnn_quantize.py"), str(source), str(target), "quantizer.json"),
        cwd=request.out,
        env=tools.variables(),
        timeout_s=1800.0,
    )
    require_files(f"mnnquant ({method})", printed, target)
    source.unlink()
    shutil.rmtree(folder)


def _write_samples(request: Request, calibration: Calibration, folder: Path) -> None:
    """Samples as mnnquant takes anything: a folder each, with input.json and a text file for every input."""
    inputs = [{"name": tensor.name, "shape": list(tensor.shape)} for tensor in request.model.inputs]
    for number, file in enumerate(calibration.samples):
        place = folder / str(number)
        place.mkdir(parents=True)
        told = {"inputs": inputs, "outputs": list(request.model.outputs)}
        (place / "input.json").write_text(json.dumps(told))
        with np.load(file) as stored:
            for tensor in request.model.inputs:
                np.savetxt(place / f"{tensor.name}.txt", stored[tensor.name].ravel(), fmt="%.9g")


def _toolchain(version: str) -> Packages:
    """The converter of the runtime's own version."""
    return Packages(
        name="mnnconvert", python=MNN.python, dependencies=False, requirements=MNN.packages(version)
    )


CONVERTER = Converter(
    name=lambda version: f"mnnconvert@{version}", options=_options, convert=_convert, methods=METHODS
)
