"""Make inner tensors of an ONNX model its outputs: `python expose_tensors.py MODEL OUT [OPERATOR...]`.

Runs in the ONNX toolchain. Writes the model with the float results of these operators (all when none is
named) as further outputs, and prints them as JSON in the graph's order: [[tensor, operator], ...].
"""

import json
import sys

import onnx
from onnx import TensorProto, shape_inference


def main(source: str, target: str, *operators: str) -> None:
    """Do what the module says; the model's own outputs stay the first."""
    model = shape_inference.infer_shapes(onnx.load(source))
    graph = model.graph
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    own = {value.name for value in graph.output}
    exposed = []
    for node in graph.node:
        if operators and node.op_type not in operators and not own.intersection(node.output):
            continue
        for name in node.output:
            value = known.get(name)
            if value is None or value.type.tensor_type.elem_type != TensorProto.FLOAT:
                continue
            exposed.append((name, node.op_type))
            if name not in own:
                graph.output.append(value)
    onnx.save(model, target)
    print(json.dumps({"outputs": [value.name for value in graph.output], "exposed": exposed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
