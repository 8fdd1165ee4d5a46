"""Convolutions that are given other channels than they take, at which onnx's shape inference never looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

CHANNEL_AXES = {"Conv": 1, "ConvTranspose": 0}
"""Where the weights of a convolution have the input's channels: those of one group in `Conv`."""


def wrong_channels(graph: GraphProto) -> str:
    """The first convolution of an inferred graph that does not take its input, for people; else empty."""
    values = (*graph.input, *graph.value_info)
    sizes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}
    sizes |= {weight.name: list(weight.dims) for weight in graph.initializer}
    return next(filter(None, (told(node, sizes) for node in graph.node)), "")


def told(node: NodeProto, sizes: dict[str, list[int]]) -> str:
    """What is wrong with a node's channels; empty when nothing is, or a size is 0, which is not known."""
    if node.op_type not in CHANNEL_AXES:
        return ""
    given, weights = (sizes.get(name, []) for name in node.input[:2])
    if len(given) < 2 or len(weights) < 2:
        return ""
    groups = next((one.i for one in node.attribute if one.name == "group"), 1)
    taken = weights[CHANNEL_AXES[node.op_type]] * (groups if node.op_type == "Conv" else 1)
    if 0 in {taken, given[1]} or taken == given[1]:
        return ""
    return f"{node.op_type} {node.name or node.output[0]} takes {taken} channels and is given {given[1]}"
