"""Names of an ONNX graph's tensors and nodes: where they are, and how they are changed everywhere at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from weights_beside import inner_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, NodeProto


def rename_words_only(graph: GraphProto) -> None:
    """Give tensors and nodes unique names of letters, digits and underscores, keeping those that are so."""
    interface = [value.name for value in (*graph.input, *graph.output)]
    names = list(dict.fromkeys([*interface, *tensor_names(graph)]))
    taken = {name for name in names if is_word(name)}
    rename(graph, {name: unique(name, taken) for name in names if not is_word(name)})
    nodes: set[str] = set()
    for node in all_nodes(graph):
        node.name = unique(node.name or node.op_type, nodes)


def is_word(name: str) -> bool:
    """Whether a name needs no change."""
    return re.fullmatch(r"\w+", name, re.ASCII) is not None


def unique(name: str, taken: set[str]) -> str:
    """`name` as a word that is not in `taken`, which then holds it."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII)
    number, candidate = 1, word
    while candidate in taken:
        candidate, number = f"{word}_{number}", number + 1
    taken.add(candidate)
    return candidate


def tensor_names(graph: GraphProto) -> Iterator[str]:
    """Names of all tensors that a graph and its inner graphs define."""
    for value in (*graph.input, *graph.initializer):
        yield value.name
    for node in graph.node:
        yield from (name for name in node.output if name)
        for inner in inner_graphs(node):
            yield from tensor_names(inner)


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Nodes of a graph and of its inner graphs."""
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from all_nodes(inner)


def consumed(node: NodeProto) -> Iterator[str]:
    """Names that a node takes, those of its inner graphs too."""
    yield from node.input
    for inner in inner_graphs(node):
        yield from (value.name for value in inner.output)
        for one in inner.node:
            yield from consumed(one)


def rename(graph: GraphProto, names: dict[str, str]) -> None:
    """Rename tensors where they are defined and where they are used, in inner graphs too."""
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)
    del graph.value_info[:], graph.quantization_annotation[:]
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
        for inner in inner_graphs(node):
            rename(inner, names)
