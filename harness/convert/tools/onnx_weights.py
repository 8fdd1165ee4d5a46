"""How a model's weights are used: `python onnx_weights.py MODEL REPORT`.

Writes a JSON object {operator: how many nodes of it have a matrix or kernel of constant weights}. Only
operators whose weights a quantizer may take are counted.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import onnx

WEIGHTED = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "LSTM": 1, "GRU": 1, "RNN": 1, "Gather": 0}
"""Operators with weights, and which of their inputs these are."""


def main(source: str, report: str) -> None:
    """Count the weighted nodes of the model at `source`."""
    graph = onnx.load(source, load_external_data=False).graph
    matrices = {weight.name for weight in graph.initializer if len(weight.dims) > 1}
    counts = Counter(
        node.op_type
        for node in graph.node
        if node.op_type in WEIGHTED and node.input[WEIGHTED[node.op_type]] in matrices
    )
    Path(report).write_text(json.dumps(dict(sorted(counts.items()))))


if __name__ == "__main__":
    main(*sys.argv[1:])
