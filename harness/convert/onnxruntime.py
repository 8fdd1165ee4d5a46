"""ONNX for onnxruntime: as it is for fp32, converted by onnxconverter-common for fp16."""

from typing import Any

import msgspec

from harness.cache import Cache
from harness.convert.base import Converted, Converter, Request
from harness.environments import environment
from harness.spec import Precision
from harness.toolchains import ONNX, TOOLS, require_files, run_tool

ONNX_CONVERTER = "onnxconverter-common@1.16.0"

FP16_KEPT = ("Resize",)
"""Operators left in fp32: onnxruntime's half-precision Resize rejects the float scales beside it."""


def _options(precision: Precision, backend: str) -> dict[str, Any]:
    del backend
    return {"keep_io_types": True, "op_block_list": list(FP16_KEPT)} if precision == "fp16" else {}


def _convert(cache: Cache, request: Request) -> Converted:
    target = request.out / "model.onnx"
    if request.precision == "fp32":
        target.write_bytes(request.model.frozen.read_bytes())
        return Converted(files={"onnx": target.name})
    tools = environment(cache, ONNX)
    order = {"model": str(request.model.frozen), "out": str(target), **_options("fp16", request.backend)}
    (request.out / "float16.json").write_bytes(msgspec.json.encode(order))
    printed = run_tool(
        "onnxconverter-common",
        tools.command(str(TOOLS / "float16_onnx.py"), "float16.json"),
        cwd=request.out,
        env=tools.variables(),
    )
    require_files("onnxconverter-common", printed, target)
    return Converted(files={"onnx": target.name})


CONVERTER = Converter(name=lambda _version: ONNX_CONVERTER, options=_options, convert=_convert)
