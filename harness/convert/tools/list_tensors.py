"""Tensors of an ONNX model in topological order: `python list_tensors.py MODEL REPORT`.

Writes a JSON list with an object for each result of a node: its name, the operator and the name of its node,
the tensors the node takes that are no constants, its weights ([name, shape, largest magnitude]), and whether
it can be made an output: those of 32-bit floats whose shape is known can.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper, shape_inference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import ModelProto, NodeProto


def main(source: str, report: str) -> None:
    """Do what the module says."""
    model = shape_inference.infer_shapes(onnx.load(source, load_external_data=False))
    Path(report).write_text(json.dumps(list(tensors(model, Path(source).parent))), "utf-8")


def tensors(model: ModelProto, folder: Path) -> Iterator[dict[str, Any]]:
    """What the module says, one by one; `folder` is that of weights in other files."""
    graph = model.graph
    constants = {weight.name: weight for weight in graph.initializer}
    floats = {
        value.name
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.type.tensor_type.HasField("shape")
    }
    for node in graph.node:
        taken = list(dict.fromkeys(name for name in consumed(node) if name))
        for name in node.output:
            if name:
                yield {
                    "name": name,
                    "operator": node.op_type,
                    "node": node.name or name,
                    "inputs": [one for one in taken if one not in constants],
                    "weights": [described(constants[one], folder) for one in taken if one in constants],
                    "can_be_kept": name in floats and node.op_type != "Constant",
                }


def consumed(node: NodeProto) -> Iterator[str]:
    """Names that a node takes; those that its inner graphs take from outside too."""
    yield from node.input
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.type == AttributeProto.GRAPH else list(attribute.graphs)
        for graph in graphs:
            own = {value.name for value in (*graph.input, *graph.initializer)}
            own.update(name for inner in graph.node for name in inner.output)
            named = [value.name for value in graph.output]
            named += [name for inner in graph.node for name in consumed(inner)]
            yield from (name for name in named if name not in own)


def described(weight: TensorProto, folder: Path) -> tuple[str, list[int], float | None]:
    """Name, shape and largest magnitude of a constant; no magnitude where it is not of floats."""
    is_float = weight.data_type in {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}
    largest = float(np.abs(numpy_helper.to_array(weight, str(folder))).max(initial=0.0)) if is_float else None
    return weight.name, list(weight.dims), largest


if __name__ == "__main__":
    main(*sys.argv[1:])
