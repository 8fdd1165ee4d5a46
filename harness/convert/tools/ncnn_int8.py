"""Make an int8 network of an ncnn one: `python ncnn_int8.py order.json`.

Order: {param, bin, out_param, out_bin, method, percentile, leave_out, samples, inputs}. `inputs` are [name of
the array in a sample, index that drops its batch axis or null] in the network's order; `leave_out` are names
of layers that stay as they are.

ncnn's own ncnn2table and ncnn2int8 are in no package, so this does their work, in their format
(https://github.com/Tencent/ncnn/tree/master/tools/quantize, and load_model of each layer in src/layer):
ranges of activations are read off an fp32 run of the samples, weights are stored in 8 bits with a scale for
each output channel. Convolutions, also depthwise ones, and InnerProducts are quantized, the rest is copied.
Writes found.json beside the order, and int8.table: the scales, as ncnn2table writes them.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ncnn
import numpy as np
from known_names import require_known
from ncnn_files import Layer, Weights, read_layers, write_param

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

TERM = {"Convolution": 2, "ConvolutionDepthWise": 1, "InnerProduct": 2}
"""Layers that are quantized, and their int8_scale_term as ncnn2int8 writes it."""

INT8_TAG = 0x000D4B38
BINS, LEVELS = 2048, 128
"""Bins of a histogram of magnitudes, and how many of them an 8-bit tensor can tell apart."""
RARE = 0.0001
"""What ncnn2table adds to the share of each bin, so that none is empty."""


def main(path: str) -> None:
    """Do what the order at `path` says."""
    order = json.loads(Path(path).read_text("utf-8"))
    lines, layers = read_layers(Path(order["param"]), Path(order["bin"]))
    names = {layer: lines[layer.line].split()[1] for layer in layers if layer.kind in TERM and layer.weights}
    require_known("layer to quantize", order["leave_out"], names.values())
    quantized = [layer for layer, name in names.items() if name not in order["leave_out"]]
    blobs = sorted({layer.bottoms[0] for layer in quantized})
    network = open_network(order["param"], order["bin"])
    reach = {
        blob: threshold
        for blob, threshold in thresholds(network, order, blobs).items()
        if threshold > 0  # nothing ever flowed there
    }
    done = [layer for layer in quantized if layer.bottoms[0] in reach]
    with Path(order["out_bin"]).open("wb") as stream:
        for layer in layers:
            known = layer in done
            stream.write(int8_weights(layer, reach[layer.bottoms[0]]) if known else layer.raw)
    for layer in done:
        lines[layer.line] += f" 8={TERM[layer.kind]}"
    write_param(Path(order["out_param"]), lines)
    write_table(Path("int8.table"), {names[layer]: (layer, reach[layer.bottoms[0]]) for layer in done})
    rest = Counter(layer.kind for layer in layers if layer.raw and layer not in done)
    found = {"int8": dict(Counter(layer.kind for layer in done)), "left_in_fp32": dict(rest)}
    Path("found.json").write_text(json.dumps(found))


def open_network(param: str, weights: str) -> ncnn.Net:
    """The fp32 network, which keeps every blob it computes."""
    network = ncnn.Net()
    option = network.opt
    option.lightmode = option.use_vulkan_compute = False
    option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = False
    for load, file in ((network.load_param, param), (network.load_model, weights)):
        if load(file) != 0:
            raise SystemExit(f"ncnn cannot load {file}")
    return network


def computed(network: ncnn.Net, order: dict[str, Any], blobs: Sequence[str]) -> Iterator[dict[str, Floats]]:
    """For each sample, the magnitudes in each of `blobs`."""
    for file in order["samples"]:
        with np.load(file) as stored, network.create_extractor() as extractor:
            kept = []
            for index, (name, axis) in enumerate(order["inputs"]):
                array = stored[name] if axis is None else stored[name].take(0, axis)
                array = np.ascontiguousarray(array)
                mat = ncnn.Mat(array).clone()
                kept.append((array, mat))
                extractor.input(f"in{index}", mat)
            yield {blob: magnitudes(extractor, blob) for blob in blobs}


def magnitudes(extractor: ncnn.Extractor, blob: str) -> Floats:
    """What a blob holds, without signs."""
    code, mat = extractor.extract(blob)
    if code != 0:
        raise SystemExit(f"ncnn cannot compute {blob} of a calibration sample (code {code})")
    return np.abs(np.array(mat, np.float32).ravel())


def thresholds(network: ncnn.Net, order: dict[str, Any], blobs: Sequence[str]) -> dict[str, float]:
    """The magnitude of each blob that 127 is to stand for."""
    largest = dict.fromkeys(blobs, 0.0)
    for sample in computed(network, order, blobs):
        for blob, values in sample.items():
            largest[blob] = max(largest[blob], float(values.max(initial=0.0)))
    if order["method"] == "minmax":
        return largest
    counts = {blob: np.zeros(BINS) for blob in blobs}
    for sample in computed(network, order, blobs):
        for blob, values in sample.items():
            # Zeros, which a ReLU makes many of, are exact at any threshold.
            seen = values[values > 0]
            counts[blob] += np.histogram(seen, BINS, (0.0, largest[blob] or 1.0))[0]
    if order["method"] == "percentile":
        bins = {blob: percentile_bin(counts[blob], order["percentile"]) for blob in blobs}
    else:
        bins = {blob: nearest_bin(counts[blob]) for blob in blobs}
    return {blob: largest[blob] * bins[blob] / BINS for blob in blobs}


def percentile_bin(counts: NDArray[np.float64], percentile: float) -> int:
    """How many bins hold `percentile` of all that was counted."""
    total = counts.cumsum()
    return int(np.searchsorted(total, total[-1] * percentile / 100)) + 1 if total[-1] else BINS


def nearest_bin(counts: NDArray[np.float64]) -> float:
    """How many bins to keep so that 8 bits distort the distribution least, as ncnn2table finds it.

    Kullback-Leibler divergence between the distribution, its tail gathered in the last bin kept, and the
    same in LEVELS steps (S. Migacz, 8-bit inference with TensorRT, 2017). A bin that lies across the border
    of two steps counts in each by its share.
    """
    if not counts.sum():
        return BINS
    share = counts / counts.sum()
    below = np.concatenate([[0.0], share.cumsum()])
    places = np.arange(BINS + 1.0)
    best, least = LEVELS, np.inf
    for kept in range(LEVELS, BINS):
        wanted = share[:kept] + RARE
        wanted[-1] += 1.0 - below[kept]
        borders = np.linspace(0.0, kept, LEVELS + 1)
        flat = np.interp(places[: kept + 1], borders, np.interp(borders, places, below))
        distance = float(np.sum(wanted * np.log(wanted / (np.diff(flat) + RARE))))
        if distance < least:
            best, least = kept, distance
    return best + 0.5


def int8_weights(layer: Layer, threshold: float) -> bytes:
    """A layer's part of the .bin file: 8-bit weights, bias, a scale for each channel, that of the input."""
    weights: Weights = layer.weights
    scales = weight_scales(layer)
    scaled = weights.values.reshape(weights.channels, -1) * scales[:, None]
    stored = np.clip(np.trunc(scaled + np.copysign(0.5, scaled)), -127, 127).astype(np.int8)
    data = stored.tobytes()
    tail = np.concatenate([weights.bias, scales, [127.0 / threshold]]).astype("<f4").tobytes()
    return INT8_TAG.to_bytes(4, "little") + data + b"\0" * (-len(data) % 4) + tail


def weight_scales(layer: Layer) -> Floats:
    """What the weights of each channel are multiplied by."""
    largest = np.abs(layer.weights.values.reshape(layer.weights.channels, -1)).max(axis=1)
    # ncnn's Winograd kernels add products of transformed weights in 16 bits: 6 bits are all they can take.
    reach = 31.0 if is_winograd(layer) else 127.0
    return np.where(largest > 0, reach / np.maximum(largest, 1e-30), 1.0).astype(np.float32)


def write_table(path: Path, known: dict[str, tuple[Layer, float]]) -> None:
    """For each layer by its name, the scales of its weights; then, in lines of their own, of their inputs."""
    weights = (
        f"{name}_param_0 {' '.join(f'{scale:f}' for scale in weight_scales(layer))}"
        for name, (layer, _) in known.items()
    )
    inputs = (f"{name} {127.0 / threshold:f}" for name, (_, threshold) in known.items())
    path.write_text("\n".join([*weights, *inputs, ""]), "utf-8")


def is_winograd(layer: Layer) -> bool:
    """Whether ncnn may compute the layer by Winograd's algorithm: 3x3, one step, no holes."""
    given = layer.number
    sides = (given(1, 0), given(11, given(1, 0)))
    steps = (given(3, 1), given(13, given(3, 1)), given(2, 1), given(12, given(2, 1)))
    return layer.kind == "Convolution" and sides == (3, 3) and steps == (1, 1, 1, 1)


if __name__ == "__main__":
    main(sys.argv[1])
