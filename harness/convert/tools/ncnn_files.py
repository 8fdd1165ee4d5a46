"""Read an ncnn network's .param and .bin files layer by layer.

The .bin file has no table of contents: what a layer has in it follows from its kind and parameters, as
load_model of each layer in ncnn's src/layer reads it. A kind with weights that is not known here puts the
reading out of step, which is noticed and refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TAGGED, PLAIN = 0, 1
"""How ncnn reads numbers: behind a tag that says their type, or as floats."""

FLOAT_TAG = 0
NUMBER = re.compile(r"(\d+)=([-+.\de]+)")


@dataclass(frozen=True)
class Weights:
    """Weights and bias of a layer that computes sums of products; `channels` share a scale each."""

    values: NDArray[np.float32]
    bias: NDArray[np.float32]
    channels: int


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer, the line of the .param file that says it, and its bytes of the .bin file."""

    kind: str
    line: int
    bottoms: tuple[str, ...]
    numbers: dict[int, float]
    raw: bytes
    parts: tuple[tuple[int, int], ...]

    def number(self, key: int, default: int) -> int:
        """A whole parameter."""
        return int(self.numbers.get(key, default))

    @property
    def weights(self) -> Weights | None:
        """What there is to quantize, for a Convolution, ConvolutionDepthWise or InnerProduct."""
        if not self.parts:
            return None
        count = self.parts[0][0]
        values = np.frombuffer(self.raw, "<f4", count, 4)
        bias = np.frombuffer(self.raw, "<f4", offset=4 + 4 * count)
        grouped = self.kind == "ConvolutionDepthWise"
        return Weights(values, bias, self.number(7, 1) if grouped else self.number(0, 0))


def read_layers(param: Path, weights: Path) -> tuple[list[str], list[Layer]]:
    """The .param file's lines and the network's layers; ends the program when the files do not agree."""
    lines = param.read_text("utf-8").splitlines()
    data = weights.read_bytes()
    layers, offset = [], 0
    for number, line in enumerate(lines[2:], start=2):
        words = line.split()
        if not words:
            continue
        kind, bottoms, tops = words[0], int(words[2]), int(words[3])
        numbers = parameters(words[4 + bottoms + tops :])
        parts = tuple(PARTS.get(kind, nothing)(numbers))
        end = offset + sum(4 * count + (4 if form == TAGGED else 0) for count, form in parts)
        check_tags(data, offset, parts, f"{kind} {words[1]}")
        layers.append(Layer(kind, number, tuple(words[4 : 4 + bottoms]), numbers, data[offset:end], parts))
        offset = end
    if offset != len(data):
        raise SystemExit(
            f"{weights.name} has {len(data)} bytes, the layers that are known here account for {offset}: it "
            f"has weights of a kind that is not among {', '.join(sorted(PARTS))}"
        )
    return lines, layers


def write_param(param: Path, lines: Sequence[str]) -> None:
    """Write a .param file."""
    param.write_text("\n".join(lines) + "\n", "utf-8")


def check_tags(data: bytes, offset: int, parts: Sequence[tuple[int, int]], name: str) -> None:
    """Ends the program when a layer's weights are not floats, or not where they should be."""
    for count, form in parts:
        if form == TAGGED:
            if data[offset : offset + 4] != FLOAT_TAG.to_bytes(4, "little"):
                raise SystemExit(f"the weights of {name} are not plain floats")
            offset += 4
        offset += 4 * count


def parameters(words: Sequence[str]) -> dict[int, float]:
    """`0=16 1=3`: parameters that are numbers; arrays and texts, which others are, say nothing of weights."""
    pairs = (NUMBER.fullmatch(word) for word in words)
    return {int(pair[1]): float(pair[2]) for pair in pairs if pair}


def nothing(numbers: dict[int, float]) -> list[tuple[int, int]]:
    """A layer without weights."""
    del numbers
    return []


def convolution(numbers: dict[int, float]) -> list[tuple[int, int]]:
    """Weights, and a bias for each output channel; nothing where the weights are an input."""
    if numbers.get(19) or numbers.get(28):
        return []
    return biased(numbers, size=6, bias=5)


def biased(numbers: dict[int, float], *, size: int, bias: int) -> list[tuple[int, int]]:
    """Weights, and a bias for each output where there is one."""
    parts = [(int(numbers[size]), TAGGED)]
    return [*parts, (int(numbers[0]), PLAIN)] if numbers.get(bias) else parts


def gemm(numbers: dict[int, float]) -> list[tuple[int, int]]:
    """The constants among A, B and C."""
    rows, columns, depth = (int(numbers.get(key, 0)) for key in (7, 8, 9))
    broadcast = int(numbers.get(10, 0))
    constant = {0: 1, 1: rows, 2: rows, 3: rows * columns, 4: columns}
    parts = [(rows * depth, 4), (columns * depth, 5)]
    found = [(count, TAGGED) for count, key in parts if numbers.get(key)]
    return [*found, (constant[broadcast], TAGGED)] if numbers.get(6) and broadcast >= 0 else found


def attention(numbers: dict[int, float]) -> list[tuple[int, int]]:
    """Four projections with their biases."""
    width, total = int(numbers[0]), int(numbers[2])
    depths = [total // width, int(numbers.get(3, width)), int(numbers.get(4, width)), total // width]
    outputs = [width, width, width, total // width]
    pairs = zip((width * depth for depth in depths), outputs, strict=True)
    return [part for weight, bias in pairs for part in ((weight, TAGGED), (bias, PLAIN))]


def norm(
    *, size: int, affine: int | None, vectors: int
) -> Callable[[dict[int, float]], list[tuple[int, int]]]:
    """`vectors` of as many floats as parameter `size` says, unless `affine` is off."""

    def parts(numbers: dict[int, float]) -> list[tuple[int, int]]:
        present = affine is None or numbers.get(affine, 1)
        return [(int(numbers[size]), PLAIN)] * vectors if present else []

    return parts


def memory(numbers: dict[int, float]) -> list[tuple[int, int]]:
    """A constant tensor."""
    sizes = [int(numbers.get(key, 0)) or 1 for key in (0, 1, 11, 2)]
    return [(math.prod(sizes), int(numbers.get(21, 1)))]


def scale(numbers: dict[int, float]) -> list[tuple[int, int]]:
    """A factor for each channel, unless it is an input, and a bias."""
    size = int(numbers[0])
    return [] if size == -233 else [(size, PLAIN)] * (2 if numbers.get(1) else 1)


def recurrent(gates: int, biases: int) -> Callable[[dict[int, float]], list[tuple[int, int]]]:
    """Weights of inputs, biases, weights of the state, and of a projection where there is one."""

    def parts(numbers: dict[int, float]) -> list[tuple[int, int]]:
        outputs, total = int(numbers[0]), int(numbers[1])
        ways = 2 if numbers.get(2) == 2 else 1
        hidden = int(numbers.get(3, outputs)) if gates == 4 else outputs
        found = [(total, TAGGED), (hidden * biases * ways, TAGGED), (outputs * hidden * gates * ways, TAGGED)]
        return found if outputs == hidden else [*found, (hidden * outputs * ways, TAGGED)]

    return parts


PARTS = {
    **{
        f"{kind}{grouped}{sides}": convolution
        for kind in ("Convolution", "Deconvolution")
        for grouped in ("", "DepthWise")
        for sides in ("", "1D", "3D")
    },
    "InnerProduct": lambda numbers: biased(numbers, size=2, bias=1),
    "Embed": lambda numbers: biased(numbers, size=3, bias=2),
    "Gemm": gemm,
    "MultiHeadAttention": attention,
    "LayerNorm": norm(size=0, affine=2, vectors=2),
    "RMSNorm": norm(size=0, affine=2, vectors=1),
    "GroupNorm": norm(size=1, affine=3, vectors=2),
    "InstanceNorm": norm(size=0, affine=2, vectors=2),
    "BatchNorm": norm(size=0, affine=None, vectors=4),
    "PReLU": norm(size=0, affine=None, vectors=1),
    "Bias": norm(size=0, affine=None, vectors=1),
    "Scale": scale,
    "MemoryData": memory,
    "LSTM": recurrent(4, 4),
    "GRU": recurrent(3, 4),
    "RNN": recurrent(1, 1),
}
"""Kind of layer -> what it has in the .bin file, in order."""
