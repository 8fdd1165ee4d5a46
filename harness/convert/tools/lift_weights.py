"""Bring very small weights into the range of half floats and 8-bit steps, without changing results.

`python lift_weights.py MODEL OUT`: where all weights of a layer are tiny, they are multiplied by a power of
two and the layer's input is divided by it, which is exact in binary floating point. Writes OUT only when
there is such a layer, and prints the JSON list of them: [[tensor, exponent], ...].
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper
from weights_beside import write_as

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto

WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Operators whose second input is a matrix of weights, linear in their first."""

TINY = 2.0**-8
"""A layer whose largest weight is below this loses what counts.

Half floats have their full precision from 2^-14 on, which pnnx takes for zero below; MNN takes quantisation
steps under 1e-6 for zero, which 8 bits reach at weights of 1e-4.
"""


def main(source: str, target: str) -> None:
    """Lift the layers of the model at `source`."""
    model = onnx.load(source)
    lifted = lift(model.graph)
    if lifted:
        write_as(model, Path(target), Path(source))
    sys.stdout.write(json.dumps(lifted))


def lift(graph: GraphProto) -> list[tuple[str, int]]:
    """Rewrite the tiny layers of a graph; returns tensor and exponent of each."""
    weights = {weight.name: weight for weight in graph.initializer}
    uses = [name for node in graph.node for name in node.input]
    lifted, nodes = [], []
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type in WEIGHTED else None
        exponent = 0 if weight is None or uses.count(weight.name) > 1 else needed(weight)
        if exponent:
            array = numpy_helper.to_array(weight)
            weight.CopyFrom(numpy_helper.from_array(np.ldexp(array, exponent), weight.name))
            divisor, lowered = f"{node.output[0]}_lift", f"{node.output[0]}_lowered"
            graph.initializer.append(numpy_helper.from_array(np.float32(2.0**-exponent), divisor))
            nodes.append(helper.make_node("Mul", [node.input[0], divisor], [lowered], name=lowered))
            node.input[0] = lowered
            lifted.append((node.output[0], exponent))
        nodes.append(node)
    if lifted:
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return lifted


def needed(weight: TensorProto) -> int:
    """The power of two that brings a layer's largest weight to between a half and one; 0 for none."""
    array = numpy_helper.to_array(weight)
    largest = float(np.abs(array).max(initial=0.0)) if array.dtype == np.float32 else 0.0
    return -math.frexp(largest)[1] if 0.0 < largest < TINY else 0


if __name__ == "__main__":
    main(*sys.argv[1:])
