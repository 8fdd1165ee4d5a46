"""Even out the ranges of channels between layers, without changing results.

`python equalize_weights.py MODEL OUT`: where the channels of one layer go through a ReLU alone, or through
nothing, into the next, each may be multiplied by a positive number that the next layer's weights are divided
by. Numbers are chosen so that both layers' weights of a channel reach equally far, and one step suits all
channels (M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019). They
are powers of two, which is exact. Writes OUT only when there is such a pair, and prints the JSON list of
them: [[first tensor, second tensor, largest exponent], ...].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper
from weights_beside import write_as

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, NodeProto, TensorProto

ROUNDS = 20
"""Evening out one pair unsettles its neighbours; after so many rounds nothing moves."""


def main(source: str, target: str) -> None:
    """Equalize the layers of the model at `source`."""
    model = onnx.load(source)
    done = equalize(model.graph)
    if done:
        write_as(model, Path(target), Path(source))
    sys.stdout.write(json.dumps(done))


def equalize(graph: GraphProto) -> list[tuple[str, str, int]]:
    """Rewrite the weights of all pairs; returns both tensors of each, and the largest exponent."""
    tensors = {weight.name: weight for weight in graph.initializer}
    pairs = list(chained(graph, tensors))
    arrays = {
        name: numpy_helper.to_array(tensors[name]).copy()
        for pair in pairs
        for node in pair
        for name in node.input[1:]
    }
    exponents = {pair[0].output[0]: np.zeros(len(arrays[pair[0].input[1]]), int) for pair in pairs}
    for _ in range(ROUNDS):
        for first, second in pairs:
            exponents[first.output[0]] += even_out(first, second, arrays)
    for name, array in arrays.items():
        tensors[name].CopyFrom(numpy_helper.from_array(array, name))
    largest = [(first, second, int(np.abs(exponents[first.output[0]]).max())) for first, second in pairs]
    return [(first.output[0], second.output[0], most) for first, second, most in largest if most]


def chained(graph: GraphProto, tensors: dict[str, TensorProto]) -> list[tuple[NodeProto, NodeProto]]:
    """Pairs of convolutions of which the second alone takes what the first gives, at most through a ReLU."""
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    outputs = {value.name for value in graph.output}
    pairs = []
    for node in graph.node:
        if not convolution(node, tensors, users):
            continue
        after = alone(node, users, outputs)
        if after is not None and after.op_type == "Relu":
            after = alone(after, users, outputs)
        if (
            after is not None
            and convolution(after, tensors, users)
            and channels_in(after, tensors) is not None
        ):
            pairs.append((node, after))
    return pairs


def convolution(node: NodeProto, tensors: dict[str, TensorProto], users: dict[str, list[NodeProto]]) -> bool:
    """Whether a node is a convolution whose constants are its own."""
    constants = node.input[1:]
    return node.op_type == "Conv" and all(
        name in tensors and len(users[name]) == 1 and tensors[name].data_type == onnx.TensorProto.FLOAT
        for name in constants
    )


def alone(node: NodeProto, users: dict[str, list[NodeProto]], outputs: set[str]) -> NodeProto | None:
    """The one node that takes the result of `node` as its data, if there is one and nothing else does."""
    found = users.get(node.output[0], [])
    single = len(found) == 1 and node.output[0] not in outputs and found[0].input[0] == node.output[0]
    return found[0] if single else None


def groups(node: NodeProto) -> int:
    """Into how many groups a convolution parts its channels."""
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def channels_in(node: NodeProto, tensors: dict[str, TensorProto]) -> int | None:
    """Channels that a convolution takes; None when it is grouped in another way than depthwise."""
    dims = tensors[node.input[1]].dims
    if groups(node) == 1:
        return int(dims[1])
    return int(dims[0]) if groups(node) == dims[0] and dims[1] == 1 else None


def even_out(first: NodeProto, second: NodeProto, arrays: dict[str, NDArray[np.float32]]) -> NDArray[np.int_]:
    """Scale the channels between two layers once; returns the exponents of two."""
    given, taken = arrays[first.input[1]], arrays[second.input[1]]
    # A view with the channels between the two in front.
    taken = taken if groups(second) > 1 else taken.swapaxes(0, 1)
    reach_out = np.abs(given).reshape(len(given), -1).max(axis=1)
    reach_in = np.abs(taken).reshape(len(taken), -1).max(axis=1)
    usable = (reach_out > 0) & (reach_in > 0)
    ratio = np.where(usable, np.maximum(reach_in, 1e-30) / np.maximum(reach_out, 1e-30), 1.0)
    exponents: NDArray[np.int_] = np.rint(np.log2(ratio) / 2).astype(int)
    factor = np.ldexp(np.float32(1), exponents)
    given *= factor.reshape(-1, *[1] * (given.ndim - 1))
    if len(first.input) > 2:
        arrays[first.input[2]] *= factor
    taken /= factor.reshape(-1, *[1] * (taken.ndim - 1))
    return exponents


if __name__ == "__main__":
    main(*sys.argv[1:])
