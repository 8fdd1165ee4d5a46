"""What each runtime's way in makes of an ONNX file's opset, IR version and shapes.

The limits were measured with a convolution saved at every opset from 7 to 28 and every IR version from 3 to
15: onnxruntime 1.32.0 loads opsets to 28 and IR versions to 14 (1.30.0: 26 and 13), mnnconvert 3.6.1 looks at
neither, pnnx 20261020 crashes from opset 27 and IR version 14 on, x2paddle 1.6.0 reads opsets to 15.
"""

from collections.abc import Collection, Mapping
from typing import Final

from harness.models.doctor.findings import Finding, Findings, error, good, listed, note, warning
from harness.models.doctor.onnx_report import OnnxReport, OnnxValue

OLDEST_OPSET: Final = 7
NEWEST_OPSET: Final[Mapping[str, int]] = {"onnxruntime 1.32.0": 28, "ncnn (pnnx 20261020)": 26}
NEWEST_IR: Final = 14
"""Beyond this onnxruntime 1.32.0 refuses; freezing lowers what is above 10."""

X2PADDLE_OPSET: Final = 12
"""What harness/convert/paddlelite.py writes a newer model as, for x2paddle."""


def judge_runtimes(name: str, report: OnnxReport) -> Findings:
    """Whether each converter takes the file's opset."""
    opset = report.opsets.get("ai.onnx")
    if opset is None:
        told = "names no opset of ONNX's own: nobody can say what its operators mean"
        yield error("runtimes", "no-opset", name, told, "export it again")
        return
    for runtime, newest in NEWEST_OPSET.items():
        if opset > newest:
            told = f"opset {opset} is beyond what {runtime} takes ({newest})"
            advice = f"export with opset {min(newest, 20)}, or onnx.version_converter.convert_version"
            yield warning("runtimes", "opset-too-new", name, told, advice)
        else:
            yield good("runtimes", runtime, f"takes opset {opset}")
    yield good(
        "runtimes", "MNN 3.6.1", f"takes any opset ({opset}); what it does not know it says when converting"
    )
    yield _x2paddle(opset)
    if opset < OLDEST_OPSET:
        told = f"opset {opset} is older than what was tried ({OLDEST_OPSET}): not checked"
        yield note("runtimes", "not-checked", name, told)
    if report.ir_version > NEWEST_IR:
        told = f"IR version {report.ir_version} is beyond what onnxruntime 1.32.0 reads ({NEWEST_IR})"
        yield error("runtimes", "ir-too-new", name, told, "set `model.ir_version = 10` and save it")
    told = "whether each operator converts and computes the same is known only after `pocketbench convert`"
    yield note("runtimes", "not-checked", name, told)


def judge_shapes(name: str, report: OnnxReport) -> Findings:
    """Inputs without fixed shapes, and the line of the zoo that fixes them."""
    free = [value for value in report.inputs if dynamic(value)]
    if not report.inputs:
        yield warning(
            "shapes", "no-inputs", name, "has no inputs: there is nothing to feed", "export it again"
        )
    if not free:
        shapes = [
            f"{value.name} {'x'.join(map(str, value.shape or ())) or 'scalar'}" for value in report.inputs
        ]
        if report.inputs:
            yield good("shapes", name, listed(shapes, 8))
        return
    told = "; ".join(f"{value.name}: {_free_dimensions(value)}" for value in free)
    batches = {value.shape[0] for value in report.inputs if value.shape}
    line = ", ".join(_zoo_input(value, batches) for value in report.inputs)
    advice = f"shapes are fixed in the zoo, write there: inputs = [{line}]"
    yield warning("shapes", "dynamic-shapes", name, f"has dynamic shapes, {told}", advice)


def dynamic(value: OnnxValue) -> bool:
    """Whether any dimension is not a positive number."""
    return value.shape is None or any(not isinstance(size, int) or size < 1 for size in value.shape)


def _free_dimensions(value: OnnxValue) -> str:
    if value.shape is None:
        return "not even the number of dimensions is known"
    free = [
        f"dimension {index} ({size or 'unnamed'})"
        for index, size in enumerate(value.shape)
        if not isinstance(size, int) or size < 1
    ]
    return ", ".join(free)


def _zoo_input(value: OnnxValue, batches: Collection[int | str | None]) -> str:
    shape = value.shape or []
    sizes = [_zoo_size(index, size, len(shape), batches) for index, size in enumerate(shape)]
    dtype = "" if value.dtype == "float32" else f', dtype = "{value.dtype}"'
    given = ", ".join(sizes) if value.shape is not None else "?"
    return f'{{ name = "{value.name}", shape = [{given}]{dtype} }}'


def _zoo_size(index: int, size: int | str | None, rank: int, batches: Collection[int | str | None]) -> str:
    """The number; 1 for a batch; else a name in capitals, for whoever fills it in."""
    if isinstance(size, int) and size > 0:
        return str(size)
    if index == 0 or (isinstance(size, str) and size in batches):
        return "1"
    if rank == 4 and index > 1:
        return ("HEIGHT", "WIDTH")[index - 2]
    return size.upper() if isinstance(size, str) and size.isidentifier() else f"SIZE_{index}"


def _x2paddle(opset: int) -> Finding:
    if opset <= X2PADDLE_OPSET:
        return good("runtimes", "Paddle-Lite (x2paddle 1.6.0)", f"takes opset {opset}")
    told = f"pocketbench writes opset {opset} as {X2PADDLE_OPSET} first, where every operator has such a form"
    return note("runtimes", "opset-lowered", "Paddle-Lite (x2paddle 1.6.0)", told)
