"""Say an ONNX model in the words of an older opset: `python lower_opset.py MODEL OUT OPSET`.

onnx.version_converter does not go below 18 for Pad and Split, so what changed its form since 12 is written
as it was by hand; other operators keep their form, and the checker refuses what the older opset lacks.
Also gives every convolution its kernel_shape, which ONNX lets a model leave out and x2paddle demands, and
writes the reflection of one- and two-dimensional tensors as a Gather, which Paddle has for more only.
Writes OUT only when something was changed, and prints the JSON list of what.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper
from weights_beside import write_graph

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

AXES = {
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Squeeze",
    "Unsqueeze",
}
"""Their axes were an attribute before opset 13 or 18."""


class LoweringError(Exception):
    """The model says something that the older opset cannot; the text is the whole message."""


def main(source: str, target: str, opset: str) -> None:
    """Lower the model at `source` to `opset` at most."""
    model = onnx.load(source, load_external_data=False)
    weights = {weight.name: weight for weight in model.graph.initializer}
    changed = []
    for node in model.graph.node:
        if node.op_type in {"Conv", "ConvTranspose"} and name_kernel(node, weights):
            changed.append(f"{node.name}: kernel_shape")
        elif node.op_type == "Pad" and gathered(node, weights, model.graph):
            changed.append(f"{node.name}: reflection as Gather")
    entry = next(item for item in model.opset_import if item.domain in {"", "ai.onnx"})
    if lowered := entry.version > int(opset):
        older = [node for node in model.graph.node if older_form(node, weights)]
        changed += [f"{node.name}: {node.op_type} of opset {entry.version}" for node in older]
        changed.append(f"opset {entry.version} to {opset}")
        entry.version = int(opset)
    if changed:
        write_graph(model, Path(target), Path(source))
    if lowered:
        try:
            onnx.checker.check_model(target)
        except onnx.checker.ValidationError as error:
            raise LoweringError(f"cannot be said in opset {opset}: {str(error).splitlines()[0]}") from error
    sys.stdout.write(json.dumps(changed))


def name_kernel(node: NodeProto, weights: dict[str, TensorProto]) -> bool:
    """Give a convolution the kernel_shape that its weights have; whether it lacked one."""
    if node.input[1] not in weights or "kernel_shape" in attributes(node):
        return False
    node.attribute.append(helper.make_attribute("kernel_shape", list(weights[node.input[1]].dims[2:])))
    return True


def gathered(node: NodeProto, weights: dict[str, TensorProto], graph: GraphProto) -> bool:
    """Write a reflecting Pad of a small tensor's last axis as a Gather; whether it was one."""
    values = (*graph.input, *graph.value_info)
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    shape = shapes.get(node.input[0], [])
    mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"constant")
    if mode != b"reflect" or len(shape) not in {1, 2} or node.input[1] not in weights or len(node.input) > 2:
        return False
    pads = [int(size) for size in numpy_helper.to_array(weights[node.input[1]])]
    before, after = pads[len(shape) - 1], pads[-1]
    if sum(map(abs, pads)) != before + after or min(pads) < 0 or not shape[-1]:
        return False
    indices = np.pad(np.arange(shape[-1], dtype=np.int64), (before, after), mode="reflect")
    name = f"{node.output[0]}_indices"
    graph.initializer.append(numpy_helper.from_array(indices, name))
    node.op_type = "Gather"
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("axis", len(shape) - 1))
    del node.input[1:]
    node.input.append(name)
    return True


def older_form(node: NodeProto, weights: dict[str, TensorProto]) -> bool:
    """Write a node as opset 12 does; whether there was anything to write."""
    if node.op_type in AXES and len(node.input) > 1:
        to_attribute(node, "axes", weights)
        drop(node, "noop_with_empty_axes")
        return True
    if node.op_type == "Split" and ("num_outputs" in attributes(node) or len(node.input) > 1):
        drop(node, "num_outputs")
        if len(node.input) > 1:
            to_attribute(node, "split", weights)
        return True
    if node.op_type == "Reshape" and node.attribute:
        if any(attribute.i for attribute in node.attribute):
            raise LoweringError(f"{node.name}: Reshape with allowzero has no form before opset 14")
        drop(node, "allowzero")
        return True
    if node.op_type == "Pad" and len(node.input) > 3:
        raise LoweringError(f"{node.name}: Pad of some axes only has no form before opset 18")
    return False


def to_attribute(node: NodeProto, name: str, weights: dict[str, TensorProto]) -> None:
    """Make a node's second input, which must be known beforehand, an attribute."""
    if node.input[1] not in weights:
        raise LoweringError(f"{node.name}: {node.op_type} with computed {name} has no form before opset 13")
    array = numpy_helper.to_array(weights[node.input[1]])
    node.attribute.append(helper.make_attribute(name, [int(value) for value in array.reshape(-1)]))
    del node.input[1:]


def attributes(node: NodeProto) -> set[str]:
    """Names of a node's attributes."""
    return {attribute.name for attribute in node.attribute}


def drop(node: NodeProto, name: str) -> None:
    """Remove an attribute where it is present."""
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except LoweringError as refused:
        sys.exit(f"{refused}")
