"""Fix an ONNX model's shapes, simplify it, and give its tensors names that every converter can take.

Run in an environment with onnx, onnxslim and numpy: `python freeze_onnx.py request.json`. The request holds

    model      path of the ONNX file
    inputs     [{name, shape, dtype}], the inputs that stay inputs
    constants  {name: number}, inputs that become part of the model
    shaped     where the model with its inputs fixed is written; it computes what the original does
    frozen     where the simplified and renamed model is written, for converters and runners
    report     where a JSON account of `frozen` is written: {inputs, outputs, opset, ir_version, nodes, ops};
               inputs and outputs are {name, original, shape, dtype} in the graph's order, the same in both
               files; a size or a whole shape that inference cannot tell is null

Exits 2 with one line on stderr when the model or the request is at fault.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxslim
from google.protobuf.message import DecodeError
from onnx import AttributeProto, helper, inliner, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

IR_VERSIONS = (4, 10)
"""Weights need not be inputs from 4 on; 10 is the last that onnx 1.17 reads, which x2paddle needs."""

FOLDED_ELEMENTS = 1 << 12
"""Folding is for shapes and conditions; larger results are onnxslim's to judge."""

FUSIONS_SKIPPED = ("FusionGemm",)
"""A Gemm between two Reshapes hides attention from pnnx, which then leaves operators ncnn does not have."""

NEVER_FOLDED = frozenset(
    {"Constant", "QuantizeLinear", "DequantizeLinear", "RandomNormal", "RandomUniform", "Multinomial"}
)


class RequestError(Exception):
    """The model or the request is at fault; the text is the whole message."""


def main(request_path: str) -> None:
    """Do what the request at `request_path` says."""
    request = json.loads(Path(request_path).read_text("utf-8"))
    original = shape(request)
    frozen = simplified(request["shaped"], original)
    rename_words_only(frozen.graph)
    unchecked = f"{request['frozen']}.unchecked"
    onnx.save(frozen, unchecked)
    del frozen
    shape_inference.infer_shapes_path(unchecked, unchecked, data_prop=True)
    frozen = onnx.load(unchecked)
    frozen.ir_version = original.ir_version
    onnx.save(frozen, unchecked)
    report = account(original, frozen)
    del frozen
    onnx.checker.check_model(unchecked)
    Path(unchecked).rename(request["frozen"])
    Path(request["report"]).write_text(json.dumps(report, indent=1), "utf-8")


def shape(request: dict[str, Any]) -> ModelProto:
    """Write the model with its inputs fixed; returns it without nodes and weights."""
    model = load(Path(request["model"]))
    fix_inputs(model.graph, request["inputs"], request.get("constants", {}))
    forget_shapes(model.graph)
    model.ir_version = min(max(model.ir_version, IR_VERSIONS[0]), IR_VERSIONS[1])
    onnx.save(model, request["shaped"])
    del model.graph.node[:], model.graph.initializer[:]
    return model


def load(path: Path) -> ModelProto:
    """The model in a file; raises RequestError when there is none in it."""
    try:
        model = onnx.load(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise RequestError(f"{path.name} is not a readable ONNX model: {error}") from error
    if not model.graph.node or not model.graph.output:
        raise RequestError(f"{path.name} is not an ONNX model: it holds no network")
    if model.ByteSize() >= 1 << 31:
        raise RequestError(f"{path.name} is larger than the 2 GiB that one ONNX file can hold")
    return inliner.inline_local_functions(model) if model.functions else model


def fix_inputs(graph: GraphProto, inputs: list[dict[str, Any]], constants: dict[str, float]) -> None:
    """Give inputs their shapes and turn constants into weights."""
    weights = {weight.name for weight in graph.initializer}
    real = {value.name: value for value in graph.input if value.name not in weights}
    for value in real.values():
        if not value.type.HasField("tensor_type"):
            raise RequestError(f"the model's input {value.name!r} is not a tensor; only tensors can be fed")
    named = [*(tensor["name"] for tensor in inputs), *constants]
    told = ", ".join(f"{name} {told_type(value)}" for name, value in real.items())
    for name in named:
        if name not in real:
            raise RequestError(f"the model has no input {name!r}; its inputs are {told}")
    for name in real:
        if name not in named:
            raise RequestError(
                f"the model's input {name!r} is given neither a shape nor a value; it has {told}"
            )
    sizes: dict[str, int] = {}
    for tensor in inputs:
        dims = real[tensor["name"]].type.tensor_type.shape.dim
        sizes |= dict(zip((dim.dim_param for dim in dims), tensor["shape"], strict=False))
        fix_shape(real[tensor["name"]], tensor["shape"], tensor.get("dtype", "float32"))
    for name, number in constants.items():
        value = real.pop(name).type.tensor_type
        # A size that has the name of one that the inputs fix is that size: a mask is as long as its tokens.
        shape = [
            dim.dim_value or (sizes.get(dim.dim_param, 1) if dim.dim_param else 1) for dim in value.shape.dim
        ]
        array = np.full(shape, number, helper.tensor_dtype_to_np_dtype(value.elem_type))
        graph.initializer.append(numpy_helper.from_array(array, name))
    replace(graph.input, real.values())


def fix_shape(value: ValueInfoProto, shape: list[int], dtype: str) -> None:
    """Set an input's sizes; its element type and its rank must be what the model declares."""
    tensor = value.type.tensor_type
    found = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    if found != dtype or (tensor.HasField("shape") and len(tensor.shape.dim) != len(shape)):
        given = f"{dtype} {shape}"
        raise RequestError(f"the input {value.name!r} is {told_type(value)}; {given} does not fit it")
    tensor.ClearField("shape")
    tensor.shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in shape)


def told_type(value: ValueInfoProto) -> str:
    """Element type and shape of an input, for people: `float32 [?, 3, 48, ?]`."""
    tensor = value.type.tensor_type
    sizes = ", ".join(str(dim.dim_value or dim.dim_param or "?") for dim in tensor.shape.dim)
    return f"{np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name} [{sizes}]"


def forget_shapes(graph: GraphProto) -> None:
    """Drop what was inferred for other input shapes, in inner graphs too."""
    del graph.value_info[:]
    for value in graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    for node in graph.node:
        for inner in inner_graphs(node):
            forget_shapes(inner)


def inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    """Graphs in a node's attributes: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def simplified(path: str, original: ModelProto) -> ModelProto:
    """A file's model after onnxslim, with constants folded and decided branches in place of their `If`."""
    smaller = onnx.load(path)
    decide(smaller)
    between = f"{path}.smaller"
    # Twice: what the first round makes constant is the second's to simplify. Through a file, because onnxslim
    # holds several copies of the weights at once, and one of ours would be one more.
    for _ in range(2):
        onnx.save(smaller, between)
        del smaller
        smaller = onnxslim.slim(between, skip_fusion_patterns=list(FUSIONS_SKIPPED))
        decide(smaller)
    Path(between).unlink()
    keep_interface(smaller.graph, original.graph)
    drop_unused(smaller.graph)
    return smaller


def decide(model: ModelProto) -> None:
    """Take out of a model what is constant: small computations, and `If` on one of them.

    Done before onnxslim sees an `If`, because 0.1.98 may leave a branch's tensors dangling.
    """
    while fold_constants(model) or inline_decided_if(model.graph):
        pass


def keep_interface(graph: GraphProto, original: GraphProto) -> None:
    """Put inputs back that simplifying dropped or moved; outputs must all be there."""
    outputs = {value.name: value for value in graph.output}
    missing = [value.name for value in original.output if value.name not in outputs]
    if missing:
        raise RequestError(f"onnxslim lost the model's outputs {', '.join(missing)}")
    replace(graph.input, original.input)
    replace(graph.output, [outputs[value.name] for value in original.output])


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
    copies = [type(message).FromString(message.SerializeToString()) for message in messages]
    del field[:]
    field.extend(copies)


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


def consumed(node: NodeProto) -> Iterator[str]:
    """Names that a node takes, those of its inner graphs too."""
    yield from node.input
    for inner in inner_graphs(node):
        yield from (value.name for value in inner.output)
        for one in inner.node:
            yield from consumed(one)


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


def account(model: ModelProto, frozen: ModelProto) -> dict[str, Any]:
    """What is in the frozen model, for the report."""
    counts = Counter(node.op_type for node in all_nodes(frozen.graph))
    return {
        "inputs": interface_of(frozen.graph.input, model.graph.input),
        "outputs": interface_of(frozen.graph.output, model.graph.output),
        "opset": next((o.version for o in frozen.opset_import if o.domain in {"", "ai.onnx"}), None),
        "ir_version": frozen.ir_version,
        "nodes": sum(counts.values()),
        "ops": dict(counts.most_common()),
    }


def interface_of(values: list[ValueInfoProto], originals: list[ValueInfoProto]) -> list[dict[str, Any]]:
    """Names, original names, shapes and dtypes of inputs or outputs."""
    return [
        {
            "name": value.name,
            "original": original.name,
            "shape": [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
            if tensor.HasField("shape")
            else None,
            "dtype": np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name,
        }
        for value, original in zip(values, originals, strict=True)
        for tensor in (value.type.tensor_type,)
    ]


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except RequestError as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201 - the program's answer
        sys.exit(2)
