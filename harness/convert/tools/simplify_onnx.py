"""Make an ONNX model smaller without changing what it computes: for freeze_onnx.py, beside which it lies.

onnxslim does most of it; around it, what is constant is folded, and an `If` on a constant gives way to its
branch. Large weights stay in a file of the working directory all the while (weights_beside.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxslim
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_names import consumed, rename, tensor_names, unique
from onnxslim.third_party.onnx_graphsurgeon.ir.tensor import Constant, LazyValues
from weights_beside import inner_graphs, put_away

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

FOLDED_ELEMENTS = 1 << 12
"""Folding is for shapes and conditions; larger results are onnxslim's to judge."""

FUSIONS_SKIPPED = ("FusionGemm",)
"""A Gemm between two Reshapes hides attention from pnnx, which then leaves operators ncnn does not have."""

NEVER_FOLDED = frozenset(
    {"Constant", "QuantizeLinear", "DequantizeLinear", "RandomNormal", "RandomUniform", "Multinomial"}
)


class LostError(Exception):
    """Simplifying took away what the model is for; the text is the whole message."""


def simplified(model: ModelProto, store: Path) -> ModelProto:
    """`model` after onnxslim, with constants folded and decided branches in place of their `If`.

    Its large weights are in the file `store` of the working directory, and so are those of the result. Raises
    LostError when an output did not survive.
    """
    inputs, outputs = copies(model.graph.input), [value.name for value in model.graph.output]
    Constant.values = property(values_of, Constant.values.fset)
    decide(model)
    # Twice: what the first round makes constant is the second's to simplify.
    for _ in range(2):
        model = onnxslim.slim(model, skip_fusion_patterns=list(FUSIONS_SKIPPED))
        put_away(model, store)
        decide(model)
    keep_interface(model.graph, inputs, outputs)
    drop_unused(model.graph)
    return model


def values_of(constant: Constant) -> NDArray[Any]:
    """What onnxslim works with where it asks for a constant's values.

    As its own, but for weights in the store: onnxslim 0.1.98 keeps what it has read, and would then write a
    weight that is here and elsewhere.
    """
    held = constant._values  # noqa: SLF001 - the pinned version's
    values: NDArray[Any] = held.load() if isinstance(held, LazyValues) else held
    if constant.data_location != TensorProto.EXTERNAL:
        constant.values = values
    return values


def decide(model: ModelProto) -> None:
    """Take out of a model what is constant: small computations, and `If` on one of them.

    Done before onnxslim sees an `If`, because 0.1.98 may leave a branch's tensors dangling.
    """
    while fold_constants(model) or inline_decided_if(model.graph):
        pass


def keep_interface(graph: GraphProto, inputs: Iterable[ValueInfoProto], outputs: list[str]) -> None:
    """Put inputs back that simplifying dropped or moved; outputs must all be there."""
    present = {value.name: value for value in graph.output}
    missing = [name for name in outputs if name not in present]
    if missing:
        raise LostError(f"onnxslim lost the model's outputs {', '.join(missing)}")
    replace(graph.input, inputs)
    replace(graph.output, [present[name] for name in outputs])


def fold_constants(model: ModelProto) -> bool:
    """Turn nodes that compute something small from constants alone into weights; whether there were any."""
    graph = model.graph
    known = small_constants(graph)
    outputs = {value.name for value in graph.output}
    versions = {opset.domain: opset.version for opset in model.opset_import}
    kept, folded = [], {}
    for node in graph.node:
        values = None
        if not outputs.intersection(node.output) and is_foldable(node, known):
            values = evaluated(node, known, versions)
        if values is None:
            kept.append(node)
            continue
        folded.update(values)
        known.update(values)
    replace(graph.node, kept)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in folded.items())
    return bool(folded)


def small_constants(graph: GraphProto) -> dict[str, np.ndarray]:
    """Values of the small weights and `Constant` nodes of a graph, by tensor name."""
    known = {
        weight.name: numpy_helper.to_array(weight)
        for weight in graph.initializer
        if np.prod(weight.dims) <= FOLDED_ELEMENTS
    }
    for node in graph.node:
        if node.op_type == "Constant":
            known.update(evaluated(node, {}, {"": 18}) or {})
    return known


def is_foldable(node: NodeProto, known: dict[str, np.ndarray]) -> bool:
    """Whether all that a node takes is known and it gives the same at every run."""
    if node.op_type in NEVER_FOLDED or node.domain not in {"", "ai.onnx"} or any(inner_graphs(node)):
        return False
    return bool(node.input) and all(name in known for name in node.input if name)


def evaluated(
    node: NodeProto, known: dict[str, np.ndarray], versions: dict[str, int]
) -> dict[str, np.ndarray] | None:
    """Small results of one node, by tensor name; None when they are large or onnx cannot compute them."""
    try:
        feeds = {name: known[name] for name in node.input if name}
        results = ReferenceEvaluator(node, opsets=versions).run(None, feeds)
        arrays = {name: np.asarray(value) for name, value in zip(node.output, results, strict=False) if name}
    except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError):
        return None
    return arrays if all(array.size <= FOLDED_ELEMENTS for array in arrays.values()) else None


def inline_decided_if(graph: GraphProto) -> bool:
    """Put the branch of the first `If` whose condition is a constant in its place; whether there was one."""
    known = small_constants(graph)
    for position, node in enumerate(graph.node):
        if node.op_type == "If" and node.input[0] in known:
            wanted = "then_branch" if bool(known[node.input[0]].reshape(-1)[0]) else "else_branch"
            branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
            splice(graph, position, branch)
            return True
    return False


def splice(graph: GraphProto, position: int, branch: GraphProto) -> None:
    """Replace the `If` at `position` by the nodes of `branch`, which may use the graph's tensors."""
    decided = graph.node[position]
    taken = set(tensor_names(graph))
    own = {weight.name for weight in branch.initializer}
    own.update(name for node in branch.node for name in node.output if name)
    fresh = {name: unique(name, taken) for name in sorted(own)}
    rename(branch, fresh)
    # An Identity for each output: a branch may give an outer tensor, a weight, or one tensor twice.
    results = [
        helper.make_node("Identity", [value.name], [name])
        for value, name in zip(branch.output, decided.output, strict=True)
        if name
    ]
    graph.initializer.extend(branch.initializer)
    before, after = list(graph.node[:position]), list(graph.node[position + 1 :])
    replace(graph.node, [*before, *branch.node, *results, *after])


def replace(field: Any, messages: Iterable[Any]) -> None:  # noqa: ANN401 - a repeated field of any messages
    """Make copies of `messages` the content of a repeated field; they may be of that field itself."""
    made = copies(messages)
    del field[:]
    field.extend(made)


def copies(messages: Iterable[Any]) -> list[Any]:
    """Copies of protobuf's messages, which outlive those."""
    return [type(message).FromString(message.SerializeToString()) for message in messages]


def drop_unused(graph: GraphProto) -> None:
    """Remove nodes and weights that no output depends on."""
    outputs = {value.name for value in graph.output}
    while True:
        used = outputs | {name for node in graph.node for name in consumed(node)}
        kept = [node for node in graph.node if used.intersection(node.output)]
        if len(kept) == len(graph.node):
            break
        replace(graph.node, kept)
    for position in reversed(range(len(graph.initializer))):
        if graph.initializer[position].name not in used:
            del graph.initializer[position]
