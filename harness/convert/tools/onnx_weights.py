"""How a model's weights are used: `python onnx_weights.py MODEL REPORT`.

Writes a JSON object {operator: how many nodes of it have a matrix or kernel of constant weights}. Only
operators whose weights a quantizer may take are counted.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from onnx import GraphProto

WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "LSTM": 1, "GRU": 1, "RNN": 1, "Gather": 0}
"""Operators with weights, and which of their inputs these are."""


def main(source: str, report: str) -> None:
    """Count the weighted nodes of the model at `source`."""
    graph = onnx.load(source, load_external_data=False).graph
    Path(report).write_text(json.dumps(weighted_operators(graph)))


def weighted_operators(graph: GraphProto) -> dict[str, int]:
    """How many nodes of each operator have their weights in the file, as they are computed with."""
    matrices = {weight.name for weight in graph.initializer if len(weight.dims) > 1}
    counts = Counter(
        node.op_type
        for node in graph.node
        if node.op_type in WEIGHTED and node.input[WEIGHTED[node.op_type]] in matrices
    )
    return dict(sorted(counts.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
