"""An ONNX file: whole, complete, and what each runtime's converter makes of it.

The file is read by a tool in the ONNX environment; the harness itself does not import onnx.
"""

import tempfile
from pathlib import Path
from typing import Final

import msgspec

from harness.cache import Cache
from harness.environments import environment
from harness.errors import ConversionError, PocketbenchError
from harness.models.doctor.findings import (
    Examined,
    Findings,
    error,
    good,
    listed,
    note,
    several,
    sized,
    warning,
)
from harness.models.doctor.formats.mapped import mapped
from harness.models.doctor.onnx_report import OnnxReport
from harness.models.doctor.onnx_runtimes import judge_runtimes, judge_shapes
from harness.models.doctor.protobuf import MalformedError, fields
from harness.models.doctor.tensors import amount
from harness.toolchains import ONNX, TOOLS, run_tool

INSPECT: Final = TOOLS / "inspect_onnx.py"
GRAPH: Final = 7
"""Field of ModelProto."""

AGAIN: Final = "copy, download or export it again"
UNREADABLE: Final = "ONNX, not readable"


def check_onnx(path: Path, cache: Cache) -> Examined[str]:
    """Check one ONNX file; the environment that reads it is made in `cache` when it is not there."""
    whole = yield from _check_wire(path)
    if not whole:
        return UNREADABLE
    try:
        report = inspect(path, cache)
    except PocketbenchError as failed:
        told = f"is a whole message; what is in it is not checked: {failed}"
        yield warning(
            "model", "not-checked", path.name, told, "the tool that reads ONNX could not do its work"
        )
        return UNREADABLE
    if report.unreadable:
        yield error("model", "not-onnx", path.name, f"cannot be read: {report.unreadable}", AGAIN)
        return UNREADABLE
    unlike = list(_check_weights(path.name, report))
    yield from unlike
    if not any(finding.severity == "error" for finding in unlike):
        exporter = report.producer or "unnamed"
        told = f"opset {_opset(report)}, IR version {report.ir_version}, exporter: {exporter}"
        yield good("model", path.name, told)
    yield from judge_shapes(path.name, report)
    yield from judge_runtimes(path.name, report)
    return _summary(path, report)


def inspect(path: Path, cache: Cache) -> OnnxReport:
    """What is in the file at `path`; raises PocketbenchError when the tool cannot be had or fails."""
    tools = environment(cache, ONNX)
    with tempfile.TemporaryDirectory(prefix="pocketbench-onnx-") as folder:
        report = Path(folder, "report.json")
        run_tool(
            "inspecting",
            tools.command(str(INSPECT), str(path.absolute()), str(report)),
            cwd=Path(folder),
            env=tools.variables(),
        )
        if not report.is_file():
            raise ConversionError("the tool ended without a report")
        return msgspec.json.decode(report.read_bytes(), type=OnnxReport)


def _check_wire(path: Path) -> Examined[bool]:
    """Whether the file is one whole message with a graph; tells what it is if not."""
    kinds = set()
    try:
        with mapped(path) as data:
            kinds = {field.number for field in fields(data) if field.end > field.begin}
    except MalformedError as failed:
        told = f"is cut off: {failed}" if failed.cut else f"is no ONNX file: {failed}"
        yield error("model", "truncated" if failed.cut else "not-onnx", path.name, told, AGAIN)
        return False
    if GRAPH not in kinds:
        yield error("model", "not-onnx", path.name, "is no ONNX file: it has no graph", AGAIN)
        return False
    return True


def _check_weights(name: str, report: OnnxReport) -> Findings:
    if report.short:
        told = (
            f"{len(report.short)} weights have fewer or more values than their shape: {listed(report.short)}"
        )
        yield error("model", "bytes-mismatch", name, told, AGAIN)
    for file in report.external:
        lies = f"{several(file.tensors, 'weight')} {'lies' if file.tensors == 1 else 'lie'} in it"
        if not file.inside:
            told = f"is outside of the model's folder, and {lies}: readers refuse that"
            yield error(
                "model",
                "external-outside",
                file.location or name,
                told,
                "save the model with its data beside it",
            )
        elif file.size_bytes is None:
            told = f"is missing, and {lies} ({sized(file.needed_bytes)})"
            advice = f"put it beside {name}, under that very name"
            yield error("model", "external-missing", file.location, told, advice)
        elif file.size_bytes < file.needed_bytes:
            told = f"is cut off: {sized(file.size_bytes)} of {sized(file.needed_bytes)} are there, and {lies}"
            yield error("model", "external-truncated", file.location, told, AGAIN)
        else:
            yield good("model", file.location, f"external data, {lies}, {sized(file.size_bytes)}")
    if report.external:
        told = "has its weights in other files: its folder is the source, with no other ONNX file in it"
        yield note("model", "external-data", name, told)
    for domain, operators in report.foreign_domains.items():
        told = f"uses {listed(operators)} of the domain {domain!r}, which is not ONNX's own"
        advice = (
            "onnxruntime may have them (com.microsoft); MNN, pnnx and x2paddle do not: export without fusions"
        )
        yield warning("model", "foreign-domain", name, told, advice)
    if report.unknown_operators and _opset(report) <= report.newest_opset:
        told = f"uses operators that its opset does not have: {listed(report.unknown_operators)}"
        yield error(
            "model",
            "operator-unknown",
            name,
            told,
            "the opset was changed by hand, or the exporter is at fault",
        )


def _opset(report: OnnxReport) -> int:
    return report.opsets.get("ai.onnx", 0)


def _summary(path: Path, report: OnnxReport) -> str:
    operators = sum(report.operators.values())
    size = path.stat().st_size + sum(file.size_bytes or 0 for file in report.external)
    told = amount(
        sum(report.parameters.values()), " and ".join(list(report.parameters)[:3]) or "no weights", size
    )
    return f"ONNX opset {_opset(report)}, {several(operators, 'node')}, {told}"
