"""Make inner tensors of an ONNX model its outputs: `python keep_tensors.py MODEL OUT [TENSOR=NAME...]`.

The model's own outputs stay the first; the tensors follow in the order given, as copies named NAME:
onnxconverter-common retypes what is an output, and with it what else takes the tensor.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import helper, shape_inference
from weights_beside import write_graph


def main(source: str, target: str, *pairs: str) -> None:
    """Do what the module says."""
    model = onnx.load(source, load_external_data=False)
    inferred = {value.name: value for value in shape_inference.infer_shapes(model).graph.value_info}
    names = dict(pair.split("=", 1) for pair in pairs)
    missing = [name for name in names if name not in inferred]
    if missing:
        sys.exit(f"the model has no tensor of known shape named {', '.join(missing)}")
    for name, copy in names.items():
        model.graph.node.append(helper.make_node("Identity", [name], [copy], name=copy))
        model.graph.output.add().CopyFrom(inferred[name])
        model.graph.output[-1].name = copy
    write_graph(model, Path(target), Path(source))


if __name__ == "__main__":
    main(*sys.argv[1:])
