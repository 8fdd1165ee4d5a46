"""Write `x[k]` of a tensor as a slice of the flattened one: `python flatten_select.py MODEL OUT`.

pnnx gathers the selections of one tensor, and slices with a squeeze too, into a torch.unbind that ncnn does
not have. Only a Gather by a constant scalar along a first axis longer than one is rewritten. Writes OUT
only when there is one, and prints the JSON list of their results.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import helper, numpy_helper
from weights_beside import write_graph

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def main(source: str, target: str) -> None:
    """Rewrite the selections of the model at `source`."""
    model = onnx.load(source, load_external_data=False)
    graph = model.graph
    numbers = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer if not weight.dims}
    values = (*graph.input, *graph.value_info)
    shapes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in values}
    nodes, done = [], []
    for node in graph.node:
        shape = shapes.get(node.input[0], []) if node.op_type == "Gather" else []
        index = numbers.get(node.input[1]) if shape else None
        if index is None or axis_of(node) or shape[0] < 2 or not all(shape):
            nodes.append(node)
            continue
        nodes += selection(graph, node, shape, int(index) % shape[0])
        done.append(node.output[0])
    if done:
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        write_graph(model, Path(target), Path(source))
        onnx.checker.check_model(target)
    sys.stdout.write(json.dumps(done))


def selection(graph: GraphProto, node: NodeProto, shape: list[int], index: int) -> list[NodeProto]:
    """Nodes that compute element `index` of a tensor of `shape` along its first axis."""
    size = math.prod(shape[1:])
    result = node.output[0]

    def integers(role: str, numbers: list[int]) -> str:
        name = f"{result}_{role}"
        graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.INT64, [len(numbers)], numbers))
        return name

    flat, cut = f"{result}_flat", f"{result}_cut"
    bounds = [integers("begin", [index * size]), integers("end", [(index + 1) * size])]
    return [
        helper.make_node("Reshape", [node.input[0], integers("row", [1, -1])], [flat], name=flat),
        helper.make_node("Slice", [flat, *bounds, integers("axis", [1])], [cut], name=cut),
        helper.make_node("Reshape", [cut, integers("shape", shape[1:])], [result], name=f"{result}_shaped"),
    ]


def axis_of(node: NodeProto) -> int:
    """The axis of a Gather, which is 0 where none is given."""
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
