"""Fix an ONNX model's shapes, simplify it, and give its tensors names that every converter can take.

Run in an environment with onnx, onnxslim and numpy: `python freeze_onnx.py request.json`. The request holds

    model      path of the ONNX file
    alone      whether it has to have its weights in it; else they may lie beside it
    inputs     [{name, shape, dtype}], the inputs that stay inputs
    constants  {name: number}, inputs that become part of the model
    largest_file_bytes
               weights of as many bytes are written to a file of their own, called as the model and `.data`
    shaped     where the model with its inputs fixed is written; it computes what the original does
    frozen     where the simplified and renamed model is written, for converters and runners
    report     where a JSON account of `frozen` is written: {inputs, outputs, opset, ir_version, nodes, ops};
               inputs and outputs are {name, original, shape, dtype} in the graph's order, the same in both
               files; a size or a whole shape that inference cannot tell is null

Exits 2 with one line on stderr when the model or the request is at fault.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, inliner, numpy_helper, shape_inference
from onnx_channels import wrong_channels
from onnx_names import all_nodes, rename_words_only
from simplify_onnx import LostError, replace, simplified
from weights_beside import WeightsError, inner_graphs, put_away, read, write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import GraphProto, ModelProto, ValueInfoProto

IR_VERSIONS = (4, 10)
"""Weights need not be inputs from 4 on; 10 is the last that onnx 1.17 reads, which x2paddle needs."""

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml"})
"""Domains of operators that are ONNX's own, and whose shapes can be told."""

ONNXRUNTIMES = frozenset({"com.microsoft"})
"""Domains that onnxruntime has operators of and other runtimes mostly do not."""

STORE = Path("weights.data")
"""Where large weights lie meanwhile."""


class RequestError(Exception):
    """The model or the request is at fault; the text is the whole message."""


def main(request_path: str) -> None:
    """Do what the request at `request_path` says."""
    request = json.loads(Path(request_path).read_text("utf-8"))
    # onnx looks for weights that are elsewhere in the working directory, and so does onnxslim with it.
    os.chdir(Path(request["frozen"]).parent)
    model = shaped(request)
    write(model, Path(request["shaped"]), request["largest_file_bytes"])
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    frozen = checked(simplified(model, STORE), model.ir_version)
    write(frozen, Path(request["frozen"]), request["largest_file_bytes"])
    Path(request["report"]).write_text(json.dumps(account(frozen, inputs, outputs), indent=1), "utf-8")
    STORE.unlink()


def shaped(request: dict[str, Any]) -> ModelProto:
    """The model with its inputs fixed; its large weights are in the store."""
    model = load(Path(request["model"]), alone=request["alone"])
    check_names(model.graph, request["inputs"], request.get("constants", {}))
    changed = changed_sizes(model.graph, request["inputs"])
    sound = bool(changed) and not inference_problem(model)
    fix_inputs(model.graph, request["inputs"], request.get("constants", {}))
    forget_shapes(model.graph)
    # A network of convolutions may run at other sizes than it was exported with.
    if sound and (problem := inference_problem(model)):
        raise RequestError(f"{'; '.join(changed)}: the network does not fit together at that size: {problem}")
    model.ir_version = min(max(model.ir_version, IR_VERSIONS[0]), IR_VERSIONS[1])
    return model


def load(path: Path, *, alone: bool) -> ModelProto:
    """The model in a file, its large weights in the store; raises RequestError when there is none in it."""
    try:
        model = read(path, STORE, alone=alone)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise RequestError(f"{path.name} is not a readable ONNX model: {error}") from error
    if not model.graph.node or not model.graph.output:
        raise RequestError(f"{path.name} is not an ONNX model: it holds no network")
    if model.functions:
        model = inliner.inline_local_functions(model)
        put_away(model, STORE)
    if foreign := told_operators(model.graph, STANDARD | ONNXRUNTIMES):
        raise RequestError(
            f"{path.name} has operators of domains that no runtime here knows: {foreign}. Export it without "
            "them, in operators of ONNX's own or as functions in the file"
        )
    return model


def told_operators(graph: GraphProto, domains: frozenset[str]) -> str:
    """The operators of domains other than `domains`, for people: `my.domain has Fold (2), Turn (1)`."""
    others = [(node.domain, node.op_type) for node in all_nodes(graph) if node.domain not in domains]
    counts = Counter(others)
    return "; ".join(
        f"{domain} has {', '.join(f'{name} ({counts[domain, name]})' for name in sorted(names))}"
        for domain in sorted({domain for domain, _ in others})
        for names in ({name for of, name in others if of == domain},)
    )


def checked(model: ModelProto, ir_version: int) -> ModelProto:
    """The simplified model with plain names and all shapes that can be told, found to be valid."""
    rename_words_only(model.graph)
    unchecked = Path("unchecked.onnx")
    onnx.save(model, unchecked)
    shape_inference.infer_shapes_path(unchecked, unchecked, data_prop=True)
    model = onnx.load(unchecked, load_external_data=False)
    model.ir_version = ir_version
    onnx.save(model, unchecked)
    try:
        onnx.checker.check_model(unchecked)
    except onnx.checker.ValidationError as error:
        other = told_operators(model.graph, STANDARD)
        why = (
            f"; the shapes behind operators that are not ONNX's own cannot be told: {other}" if other else ""
        )
        raise RequestError(f"the simplified model is not valid: {error}{why}") from error
    unchecked.unlink()
    return model


def fed(graph: GraphProto) -> dict[str, ValueInfoProto]:
    """Inputs by name; weights, which older models list among them, are none."""
    weights = {weight.name for weight in graph.initializer}
    return {value.name: value for value in graph.input if value.name not in weights}


def check_names(graph: GraphProto, inputs: list[dict[str, Any]], constants: dict[str, float]) -> None:
    """Every input must be a tensor and given, as an input or a constant, and nothing else given."""
    real = fed(graph)
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


def changed_sizes(graph: GraphProto, inputs: list[dict[str, Any]]) -> list[str]:
    """The inputs with a size that the file fixes otherwise, for people."""
    real = fed(graph)
    told = []
    for tensor in inputs:
        value, shape = real[tensor["name"]], tensor["shape"]
        dims = value.type.tensor_type.shape.dim
        if any(dim.dim_value not in {0, size} for dim, size in zip(dims, shape, strict=False)):
            told.append(
                f"the input {value.name!r} is {told_type(value)} in the file, and the zoo says {shape}"
            )
    return told


def inference_problem(model: ModelProto) -> str:
    """Why the shapes of a model cannot be told or do not fit, on one line; nothing when they do."""
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except shape_inference.InferenceError as error:
        return " ".join(str(error).split())
    return wrong_channels(inferred.graph)


def fix_inputs(graph: GraphProto, inputs: list[dict[str, Any]], constants: dict[str, float]) -> None:
    """Give inputs their shapes and turn constants into weights."""
    real = fed(graph)
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
    """Set an input's sizes; element type and rank must be what the model declares, where it does."""
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


def account(frozen: ModelProto, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    """What is in the frozen model, for the report; `inputs` and `outputs` are the names before."""
    counts = Counter(node.op_type for node in all_nodes(frozen.graph))
    return {
        "inputs": interface_of(frozen.graph.input, inputs),
        "outputs": interface_of(frozen.graph.output, outputs),
        "opset": next((o.version for o in frozen.opset_import if o.domain in {"", "ai.onnx"}), None),
        "ir_version": frozen.ir_version,
        "nodes": sum(counts.values()),
        "ops": dict(counts.most_common()),
    }


def interface_of(values: Iterable[ValueInfoProto], originals: list[str]) -> list[dict[str, Any]]:
    """Names, original names, shapes and dtypes of inputs or outputs."""
    return [
        {
            "name": value.name,
            "original": original,
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
    except (RequestError, LostError, WeightsError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # noqa: T201 - the program's answer
        sys.exit(2)
