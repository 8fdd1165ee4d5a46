"""Quantize weights and activations of an ONNX file to 8 bits: `python quantize_onnx.py order.json`.

Order: {model, out, method, options, samples}. Convolutions, but for depthwise ones, and products of matrices
become 8-bit ones; the rest stays as it is. `method` is onnxruntime's MinMax, Entropy or Percentile, which
read the ranges of activations off `samples` (.npz files of the model's inputs), or Dynamic, which needs none.
Writes found.json beside the order.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import version_converter
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_CHANNEL_OPSET = 13
"""From here on QuantizeLinear has an axis; without it a scale for each channel is no valid graph."""


class Samples(CalibrationDataReader):  # type: ignore[misc]
    """Calibration samples, one at a time."""

    def __init__(self, files: list[str]) -> None:
        self._files = iter(files)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """The next sample by input name; None after the last."""
        file = next(self._files, None)
        if file is None:
            return None
        with np.load(file) as stored:
            return {name: stored[name] for name in stored.files}


def main(path: str) -> None:
    """Do what the order at `path` says."""
    order = json.loads(Path(path).read_text("utf-8"))
    prepared = Path("prepared.onnx")
    prepare(order["model"], prepared)
    options = order["options"]
    if order["method"] == "Dynamic":
        # Signed weights would be four times slower on x86 without VNNI.
        quantize_dynamic(prepared, order["out"], weight_type=QuantType.QUInt8)
    else:
        quantize_static(
            prepared,
            order["out"],
            Samples(order["samples"]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType[options["activations"]],
            weight_type=QuantType[options["weights"]],
            calibrate_method=CalibrationMethod[order["method"]],
            op_types_to_quantize=options["operators"],
            nodes_to_exclude=depthwise(prepared),
            extra_options={"CalibPercentile": options["percentile"]},
        )
    prepared.unlink()
    counts = Counter(node.op_type for node in onnx.load(order["out"], load_external_data=False).graph.node)
    Path("found.json").write_text(json.dumps({"operators": dict(sorted(counts.items()))}))


def prepare(source: str, target: Path) -> None:
    """Write the model with the opset and the shapes that quantizing needs."""
    model = onnx.load(source)
    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    if opset < PER_CHANNEL_OPSET:
        model = version_converter.convert_version(model, PER_CHANNEL_OPSET)
    for number, node in enumerate(model.graph.node):
        # What is left in fp32 is told by name, and nodes without one would all go with it.
        node.name = node.name or f"unnamed_{number}"
    newer = Path("newer.onnx")
    onnx.save(model, newer)
    quant_pre_process(newer, target, skip_symbolic_shape=True)
    newer.unlink()


def depthwise(source: Path) -> list[str]:
    """Names of the grouped convolutions: they gain little in speed, and lose most in 8 bits."""
    return [
        node.name
        for node in onnx.load(source, load_external_data=False).graph.node
        if any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    ]


if __name__ == "__main__":
    main(sys.argv[1])
