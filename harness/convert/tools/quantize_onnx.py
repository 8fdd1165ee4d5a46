"""Quantize weights and activations of an ONNX file to 8 bits: `python quantize_onnx.py order.json`.

Order: {model, out, method, options, samples}. The operators that `options` names become 8-bit ones, of the
convolutions those that are not depthwise unless it asks for them; the rest stays as it is, and so do the
worst of them where the outputs would else be off by more than `target_db` (onnx_sensitivity.py). `method` is
onnxruntime's MinMax, Entropy or Percentile, which read the ranges of activations off `samples` (.npz files of
the model's inputs), or Dynamic, which needs none and takes no options. Writes found.json beside the order.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from known_names import require_known
from onnx import version_converter
from onnx_ranges import Samples, write_ranges
from onnx_sensitivity import SAMPLES, Judge, decibel, is_over, sensitive
from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.registry import QDQRegistry
from onnxruntime.quantization.shape_inference import quant_pre_process

if TYPE_CHECKING:
    from collections.abc import Sequence

PER_CHANNEL_OPSET = 13
"""From here on QuantizeLinear has an axis; without it a scale for each channel is no valid graph."""


TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}

RANGES = "ranges.json"

MOST_WRITTEN = 4 * 2**30
"""Bytes that the search for what must not be quantized may write: it writes the model once for each node."""


def main(path: str) -> None:
    """Do what the order at `path` says."""
    order = json.loads(Path(path).read_text("utf-8"))
    prepared = Path("prepared.onnx")
    prepare(order["model"], prepared)
    found: dict[str, Any] = {}
    if order["method"] == "Dynamic":
        # Signed weights would be four times slower on x86 without VNNI.
        quantize_dynamic(prepared, order["out"], weight_type=QuantType.QUInt8)
    else:
        found = quantize(prepared, order)
    prepared.unlink()
    counts = Counter(node.op_type for node in onnx.load(order["out"], load_external_data=False).graph.node)
    Path("found.json").write_text(json.dumps({"operators": dict(sorted(counts.items())), **found}))


def quantize(model: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Write the static int8 model that the order asks for; returns what stayed in fp32 and why."""
    options, method = order["options"], CalibrationMethod[order["method"]]
    if method is not CalibrationMethod.MinMax:
        # onnxruntime would keep every tensor of every sample until the last; minmax it takes one at a time.
        write_ranges(model, order["samples"], method, options, Path(RANGES))
    names = quantizable(model, options)
    found = loss(model, order, names)
    left = found.get("left_in_fp32", [])
    write_static(model, order["out"], order, [name for name in names if name not in left])
    Path(RANGES).unlink(missing_ok=True)
    return found


def loss(model: Path, order: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What the outputs lose when all of `names` are quantized and, if too much, which must not be."""
    target_db = order["options"]["target_db"]
    if not target_db or not names:
        return {}
    alone = Path("alone.onnx")

    def quantized(chosen: Sequence[str]) -> Path:
        write_static(model, alone, order, chosen)
        return alone

    judge = Judge(model, list(islice(Samples(order["samples"]), SAMPLES)))
    whole = judge.noise(quantized(names))
    found: dict[str, Any] = {"all_quantized_db": decibel(whole.max())}
    if is_over(whole, target_db):
        if len(names) * model.stat().st_size > MOST_WRITTEN:
            found["not_searched"] = f"{len(names)} models of {model.stat().st_size >> 20} MiB to write"
        else:
            found["left_in_fp32"] = sensitive(
                {name: judge.noise(quantized([name])) for name in names}, target_db
            )
    alone.unlink()
    return found


def write_static(model: Path, target: Path, order: dict[str, Any], names: Sequence[str]) -> None:
    """Write the model to `target` with the nodes `names` in int8; ranges are read off the samples once."""
    options = order["options"]
    nodes = onnx.load(model, load_external_data=False).graph.node
    quantize_static(
        model,
        target,
        Samples(order["samples"]),
        quant_format=QuantFormat.QDQ,
        per_channel=options["per_channel"],
        reduce_range=options["reduce_range"],
        activation_type=TYPES[options["activations"]],
        weight_type=TYPES[options["weights"]],
        calibrate_method=CalibrationMethod[order["method"]],
        op_types_to_quantize=options["operators"],
        # An empty list of nodes to quantize would mean all.
        nodes_to_exclude=[node.name for node in nodes if node.name not in names],
        extra_options={"ActivationSymmetric": options["symmetric"]},
        calibration_cache_path=RANGES,
    )


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


def quantizable(model: Path, options: dict[str, Any]) -> list[str]:
    """Names of the nodes to quantize; ends the script when an option names what there is not."""
    nodes = onnx.load(model, load_external_data=False).graph.node
    require_known("operator to quantize", options["operators"], list(QDQRegistry))
    require_known("node", options["leave_out"], [node.name for node in nodes])
    return [
        node.name
        for node in nodes
        if node.op_type in options["operators"]
        and node.name not in options["leave_out"]
        and (options["depthwise"] or not is_grouped(node))
    ]


def is_grouped(node: onnx.NodeProto) -> bool:
    """Whether it is a depthwise or another grouped convolution."""
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)


if __name__ == "__main__":
    main(sys.argv[1])
