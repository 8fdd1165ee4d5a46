"""Quantize weights and activations of an ONNX file to 8 bits: `python quantize_onnx.py order.json`.

Order: {model, out, method, options, samples, search_s}. The operators that `options` names become 8-bit ones,
of the convolutions those that are not depthwise unless it asks for them; the rest stays as it is, and so do
the worst of them where the outputs would else be off by more than `target_db` (onnx_sensitivity.py), which
are looked for until `search_s` seconds have passed since the start. `method` is onnxruntime's MinMax, Entropy
or Percentile, which read the ranges of activations off `samples` (.npz files of the model's inputs), or
Dynamic, which needs none and takes no options. Writes found.json beside the order.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from known_names import require_known
from onnx import version_converter
from onnx_ranges import Samples, write_ranges
from onnx_sensitivity import SAMPLES, Judge, decibel, is_over, sensitive
from onnx_weights import weighted_operators
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
    from collections.abc import Collection, Iterator, Sequence

PER_CHANNEL_OPSET = 13
"""From here on QuantizeLinear has an axis; without it a scale for each channel is no valid graph."""


TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}

RANGES = "ranges.json"

MOST_WRITTEN = 4 * 2**30
"""Bytes that the search for what must not be quantized may write: it writes the model once for each node."""


def main(path: str) -> None:
    """Do what the order at `path` says."""
    order = json.loads(Path(path).read_text("utf-8"))
    # Of the whole script: what comes before the search takes from its time.
    order["search_until"] = time.monotonic() + order["search_s"]
    prepared = Path("prepared.onnx")
    kept = prepare(order["model"], prepared, order["options"]["leave_out"])
    before = operator_counts(prepared)
    found: dict[str, Any] = {}
    if order["method"] == "Dynamic":
        # Signed weights would be four times slower on x86 without VNNI.
        quantize_dynamic(prepared, order["out"], weight_type=QuantType.QUInt8)
    else:
        found = quantize(prepared, order, kept)
    prepared.unlink()
    after = operator_counts(order["out"])
    found = {
        "operator_counts": after,
        "quantizing_operators": quantizing(after) - quantizing(before),
        "left_in_fp32": weighted_operators(onnx.load(order["out"], load_external_data=False).graph),
        **found,
    }
    if "worst_operators" in found:
        found["worst_operators"] = before_fusion(found["worst_operators"], order["model"])
    Path("found.json").write_text(json.dumps(found, allow_nan=False))


def operator_counts(model: Path | str) -> dict[str, int]:
    """How many nodes of each operator a model has."""
    nodes = onnx.load(model, load_external_data=False).graph.node
    return dict(sorted(Counter(node.op_type for node in nodes).items()))


def quantizing(counts: dict[str, int]) -> int:
    """How many of the operators go from floats to 8 bits or back."""
    return sum(count for kind, count in counts.items() if "quantize" in kind.lower())


def quantize(model: Path, order: dict[str, Any], kept: Collection[str]) -> dict[str, Any]:
    """Write the static int8 model that the order asks for; returns what stayed in fp32 and why.

    `kept` are tensors of nodes that are left out. With nothing to quantize it is the model as it is.
    """
    options, method = order["options"], CalibrationMethod[order["method"]]
    names = quantizable(model, options, kept)
    if not names:
        shutil.copyfile(model, order["out"])
        return {}
    if method is not CalibrationMethod.MinMax:
        # onnxruntime would keep every tensor of every sample until the last; minmax it takes one at a time.
        write_ranges(model, order["samples"], method, options, Path(RANGES))
    found = loss(model, order, names)
    left = found.get("worst_operators", [])
    write_static(model, order["out"], order, [name for name in names if name not in left])
    Path(RANGES).unlink(missing_ok=True)
    return found


def loss(model: Path, order: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What the outputs lose when all of `names` are quantized and, if too much, which must not be."""
    target_db = order["options"]["target_db"]
    if not target_db:
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
            noise = {}
            for name in names:
                if time.monotonic() >= order["search_until"]:
                    break
                noise[name] = judge.noise(quantized([name]))
            if len(noise) == len(names):
                found["worst_operators"] = sensitive(noise, target_db)
            else:
                told = f"the time was over after {len(noise)} of {len(names)} operators"
                found["not_searched"] = told
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


def prepare(source: str, target: Path, leave_out: Collection[str]) -> set[str]:
    """Write the model with the opset, the shapes and the fusions that quantizing needs.

    Returns the tensors that nodes of `leave_out` write, by which these are found again; ends the script when
    one is not there.
    """
    model = onnx.load(source)
    name_all(model, "unnamed")
    require_known("node", leave_out, [node.name for node in model.graph.node])
    kept = {tensor for node in model.graph.node if node.name in leave_out for tensor in node.output if tensor}
    opset = next(entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    if opset < PER_CHANNEL_OPSET:
        model = version_converter.convert_version(model, PER_CHANNEL_OPSET)
    name_all(model, "added")
    # What an output shows onnxruntime does not fuse away: MatMul and Add would be a Gemm of another name.
    shown = kept - {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in sorted(shown))
    newer = Path("newer.onnx")
    onnx.save(model, newer)
    quant_pre_process(newer, target, skip_symbolic_shape=True)
    newer.unlink()
    if shown:
        hide_outputs(target, shown)
    return kept


def name_all(model: onnx.ModelProto, word: str) -> None:
    """Name the nodes that have none: what stays in fp32 goes by name, and all of these would go together."""
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{word}_{number}"


def before_fusion(names: Sequence[str], source: str) -> list[str]:
    """What nodes are called in the model at `source`: onnxruntime adds `/` and its fusion to names."""
    model = onnx.load(source, load_external_data=False)
    name_all(model, "unnamed")
    known = {node.name for node in model.graph.node}
    return [next((one for one in _shortened(name) if one in known), name) for name in names]


def _shortened(name: str) -> Iterator[str]:
    yield name
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def hide_outputs(path: Path, names: Collection[str]) -> None:
    """Make outputs tensors like others again; what is known of their shapes stays."""
    model = onnx.load(path)
    outputs = list(model.graph.output)
    del model.graph.output[:]
    for output in outputs:
        (model.graph.value_info if output.name in names else model.graph.output).append(output)
    onnx.save(model, path)


def quantizable(model: Path, options: dict[str, Any], kept: Collection[str]) -> list[str]:
    """Names of the nodes to quantize; ends the script when an option names what there is not."""
    nodes = onnx.load(model, load_external_data=False).graph.node
    require_known("operator to quantize", options["operators"], list(QDQRegistry))
    return [
        node.name
        for node in nodes
        if node.op_type in options["operators"]
        and not any(tensor in kept for tensor in node.output)
        and (options["depthwise"] or not is_grouped(node))
    ]


def is_grouped(node: onnx.NodeProto) -> bool:
    """Whether it is a depthwise or another grouped convolution."""
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)


if __name__ == "__main__":
    main(sys.argv[1])
