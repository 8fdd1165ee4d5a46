"""Say what an ONNX file holds, without its weights: `python inspect_onnx.py MODEL REPORT`.

Files of external data are looked at, not read. Writes the JSON report, also of a file that is no model.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, defs, helper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, ModelProto, ValueInfoProto

STANDARD = {"", "ai.onnx", "ai.onnx.ml"}


def main(source: str, report: str) -> None:
    """Inspect the model at `source` and write the report."""
    Path(report).write_text(json.dumps(inspected(Path(source))))


def inspected(source: Path) -> dict[str, Any]:
    """Everything that the report says of one model."""
    try:
        model = onnx.load(source, load_external_data=False)
    except DecodeError as error:
        return {"unreadable": str(error)}
    graphs = list(all_graphs(model.graph))
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        "unreadable": "",
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "newest_opset": defs.onnx_opset_version(),
        "inputs": [described(value) for value in model.graph.input if value.name not in constants],
        "outputs": [described(value) for value in model.graph.output],
        "operators": dict(Counter(node.op_type for graph in graphs for node in graph.node)),
        "unknown_operators": unknown_operators(model, graphs),
        "foreign_domains": foreign_domains(model, graphs),
        **weights(source.parent, graphs),
    }


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those inside of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from all_graphs(attribute.g)
            for inner in attribute.graphs:
                yield from all_graphs(inner)


def described(value: ValueInfoProto) -> dict[str, Any]:
    """Name, element type and shape; a dimension is a number, a name, or null where there is neither."""
    tensor = value.type.tensor_type
    known = value.type.HasField("tensor_type") and tensor.HasField("shape")
    shape = [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim
    ]
    return {"name": value.name, "dtype": dtype_name(tensor.elem_type), "shape": shape if known else None}


def dtype_name(number: int) -> str:
    """What numpy calls an element type."""
    try:
        return helper.tensor_dtype_to_np_dtype(number).name
    except KeyError:
        return f"type {number}"


def unknown_operators(model: ModelProto, graphs: list[GraphProto]) -> list[str]:
    """Operators that ONNX's own domains do not have at the opset that the model asks for."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    local = {(function.domain, function.name) for function in model.functions}
    unknown = set()
    for graph in graphs:
        for node in graph.node:
            domain = "" if node.domain == "ai.onnx" else node.domain
            if domain not in STANDARD or (node.domain, node.op_type) in local:
                continue
            version = versions.get(domain, versions.get("ai.onnx", 0) if not domain else 0)
            if not defs.has(node.op_type, max_inclusive_version=version, domain=domain):
                unknown.add(f"{node.op_type} (opset {version})")
    return sorted(unknown)


def foreign_domains(model: ModelProto, graphs: list[GraphProto]) -> dict[str, list[str]]:
    """Operators of domains that are not ONNX's and not defined in the file, by domain."""
    local = {(function.domain, function.name) for function in model.functions}
    found: dict[str, set[str]] = {}
    for graph in graphs:
        for node in graph.node:
            if node.domain not in STANDARD and (node.domain, node.op_type) not in local:
                found.setdefault(node.domain, set()).add(node.op_type)
    return {domain: sorted(operators) for domain, operators in sorted(found.items())}


def weights(folder: Path, graphs: list[GraphProto]) -> dict[str, Any]:
    """How many numbers of which types, which of them lie elsewhere, and whether they are whole there."""
    parameters: Counter[str] = Counter()
    short, external = [], {}
    for tensor in (tensor for graph in graphs for tensor in tensors(graph)):
        count = math.prod(tensor.dims)
        parameters[dtype_name(tensor.data_type)] += count
        if tensor.data_location == TensorProto.EXTERNAL:
            note_external(folder, tensor, external)
        elif not whole(tensor, count):
            short.append(tensor.name)
    return {"parameters": dict(parameters), "short": short, "external": list(external.values())}


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Initializers, and the constants that some exporters write in their place."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def whole(tensor: TensorProto, count: int) -> bool:
    """Whether a tensor inside the file has as many values as its shape says."""
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data) == size_bytes(tensor.data_type, count)
    if tensor.data_type in {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64}:
        values = {TensorProto.FLOAT: tensor.float_data, TensorProto.DOUBLE: tensor.double_data}
        return len(values.get(tensor.data_type, tensor.int64_data)) == count
    return True  # packed in one of several ways


def note_external(folder: Path, tensor: TensorProto, found: dict[str, dict[str, Any]]) -> None:
    """Add a tensor to what is known of the file it lies in."""
    given = {entry.key: entry.value for entry in tensor.external_data}
    location = given.get("location", "")
    path = folder / location
    inside = bool(location) and not Path(location).is_absolute() and ".." not in Path(location).parts
    entry = found.setdefault(
        location,
        {
            "location": location,
            "inside": inside,
            "size_bytes": path.stat().st_size if inside and path.is_file() else None,
            "needed_bytes": 0,
            "tensors": 0,
        },
    )
    length = int(given.get("length", size_bytes(tensor.data_type, math.prod(tensor.dims))))
    entry["needed_bytes"] = max(entry["needed_bytes"], int(given.get("offset", 0)) + length)
    entry["tensors"] += 1


def size_bytes(data_type: int, count: int) -> int:
    """Bytes of `count` values; four-bit types share theirs."""
    try:
        dtype = helper.tensor_dtype_to_np_dtype(data_type)
    except KeyError:
        return 0
    if "int4" in dtype.name or "float4" in dtype.name:
        return (count + 1) // 2
    if "int2" in dtype.name:
        return (count + 3) // 4
    return count * dtype.itemsize


if __name__ == "__main__":
    main(*sys.argv[1:])
