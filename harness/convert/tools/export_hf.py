"""Write a folder of Hugging Face weights as one ONNX file and hold it against torch.

Run in an environment with torch, transformers, optimum-onnx and onnxruntime, with the path of a request, JSON
that holds

    folder     the weights, config.json and tokenizer
    task       what the graph is for, in optimum's words
    opset      of the ONNX file
    trusted    whether Python files of the folder may run
    remap      whether the weights are first written as another class's (remap_hf.py)
    sample     a text that is tokenised: for the comparison here, and for feeds
    out        where model.onnx, export.json and, for text, tokens.json are written

Exits 2 with one line on stderr when the folder or the request is at fault.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from optimum.exporters.onnx import onnx_export_from_model
from optimum.exporters.onnx.config import TextEncoderOnnxConfig
from optimum.exporters.tasks import TasksManager
from optimum.utils import NormalizedTextConfig
from remap_hf import RemapError, remap
from safetensors import SafetensorError
from sample_tokens import sample_tokens, write_tokens

LIMITS = {"max_rel": 1e-3, "cosine": 0.9999}
"""What fp32 in torch and fp32 in onnxruntime may differ by, of the largest value; usual is 1e-6."""

SHAPES = {"batch_size": 1, "sequence_length": 11}
"""Of the comparison; others than the graph was traced with, which it may have taken for fixed."""

SEED = 20731
UNUSED = ("pooler.",)
"""Weights that a checkpoint for another task leaves out and no output of the graph depends on."""


class RefusedError(Exception):
    """The folder or the request is at fault; the text is the whole message."""


def main(request_path: str) -> None:
    """Do what the request at `request_path` says."""
    request = json.loads(Path(request_path).read_text("utf-8"))
    folder, out = Path(request["folder"]), Path(request["out"])
    if request["remap"]:
        remap(folder, out / "remapped")
        folder = out / "remapped"
    config = read_config(folder, trusted=request["trusted"])
    model = load(folder, config, request)
    tokens = sample_tokens(folder, config, Path(request["sample"]), trusted=request["trusted"])
    path = export(model, config, request, out)
    described = interface(path)
    compared = compare(model, config, request["task"], path, tokens.ids)
    account = {
        "model_type": config.model_type,
        "class_name": type(model).__name__,
        "task": request["task"],
        "opset": request["opset"],
        **described,
        "compared": compared,
        **(write_tokens(out, tokens) if "input_ids" in described["inputs"] else {}),
    }
    (out / "export.json").write_text(json.dumps(account, indent=1), "utf-8")
    shutil.rmtree(out / "remapped", ignore_errors=True)


def read_config(folder: Path, *, trusted: bool) -> Any:  # noqa: ANN401 - a class of the model's own
    """The folder's configuration as transformers reads it."""
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=trusted, local_files_only=True
        )
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as error:
        told = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
        if f"`{told}`" in str(error) or str(error) == repr(told):
            raise RefusedError(
                f"transformers {transformers.__version__} does not know the model type {told!r}"
            ) from error
        raise RefusedError(f"config.json cannot be read: {error}") from error
    config.use_cache = False
    return config


def load(folder: Path, config: Any, request: dict[str, Any]) -> torch.nn.Module:  # noqa: ANN401
    """The model in fp32 with every weight that its outputs depend on."""
    task = request["task"]
    config.use_cache = task.endswith("-with-past")
    loader = TasksManager.get_model_class_for_task(task, model_type=config.model_type)
    try:
        # Eager attention: converters know its operators, not those that the fused one is written in.
        model, loading = loader.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",
            trust_remote_code=request["trusted"],
            local_files_only=True,
            output_loading_info=True,
        )
    except (SafetensorError, UnpicklingError, EOFError, OSError, RuntimeError) as error:
        raise RefusedError(f"the weights cannot be read: {error}") from error
    except (ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        raise RefusedError(f"no {task} model can be made of the folder: {error}") from error
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(UNUSED))
    if missing:
        raise RefusedError(
            f"{len(missing)} weights are missing, such as {', '.join(missing[:3])}: transformers would fill "
            f"them with chance. Is {task} what these weights were trained for?"
        )
    return model.eval()


def export(model: Any, config: Any, request: dict[str, Any], out: Path) -> Path:  # noqa: ANN401
    """The ONNX file; it holds its weights itself up to 2 GB and has a file of them beside it from there."""
    task, made = request["task"], out / "optimum"
    own = None
    if config.model_type not in TasksManager._SUPPORTED_MODEL_TYPE:  # noqa: SLF001 - no public question
        own = {"model": config_for(model, task)}
    try:
        with torch.no_grad():
            onnx_export_from_model(
                model, made, task=task, opset=request["opset"], do_validation=False, custom_onnx_configs=own
            )
    except (ValueError, KeyError, NotImplementedError, torch.onnx.errors.OnnxExporterError) as error:
        raise RefusedError(f"cannot be exported for {task}: {error}") from error
    graphs = [path.name for path in made.glob("*.onnx")]
    if graphs != ["model.onnx"]:
        raise RefusedError(f"becomes several graphs ({', '.join(sorted(graphs))}); one is measured")
    for path in made.glob("model.onnx*"):
        path.rename(out / path.name)
    shutil.rmtree(made)
    return out / "model.onnx"


def config_for(model: Any, task: str) -> Any:  # noqa: ANN401 - optimum's class
    """How to export an encoder of text that optimum has never heard of."""
    if task.startswith("text-generation"):
        raise RefusedError(
            f"optimum does not know decoders of the type {model.config.model_type!r}; only encoders are tried"
        )
    taken = model.forward.__code__.co_varnames
    named = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in taken]

    class Own(TextEncoderOnnxConfig):
        NORMALIZED_CONFIG_CLASS = NormalizedTextConfig
        inputs = {name: {0: "batch_size", 1: "sequence_length"} for name in named}

    return Own(model.config, task=task)


def interface(path: Path) -> dict[str, Any]:
    """Inputs and outputs by name, with dtype and sizes; a size that is open has a name."""
    graph = onnx.load(path, load_external_data=False).graph
    return {
        kind: {
            value.name: {
                "dtype": np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name,
                "shape": [dim.dim_param or dim.dim_value for dim in tensor.shape.dim],
            }
            for value in values
            for tensor in (value.type.tensor_type,)
        }
        for kind, values in (("inputs", graph.input), ("outputs", graph.output))
    }


def compare(model: Any, config: Any, task: str, path: Path, ids: list[int]) -> dict[str, Any]:  # noqa: ANN401
    """How far onnxruntime's outputs are from torch's on one seeded feed; RefusedError when too far."""
    asked = feed(model, task, ids)
    with torch.inference_mode():
        computed = flattened(model(**for_torch(asked, config)))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = flattened(asked, past="past_key_values")
    given = {value.name: given[value.name].numpy() for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    figures = {
        name: difference(computed[name].numpy(), array)
        for name, array in zip(names, session.run(names, given), strict=True)
        if name in computed
    }
    if not figures:
        raise RefusedError(f"none of the outputs {', '.join(names)} is one of torch's: {', '.join(computed)}")
    for name, one in figures.items():
        if not (one["max_rel"] <= LIMITS["max_rel"] and one["cosine"] >= LIMITS["cosine"]):
            raise RefusedError(
                f"the exported graph computes something else than torch: {name} has max_rel "
                f"{one['max_rel']:.3g} (limit {LIMITS['max_rel']:g}) and cosine {one['cosine']:.6f}"
            )
    return figures


def feed(model: Any, task: str, ids: list[int]) -> dict[str, Any]:  # noqa: ANN401 - optimum's kinds of values
    """What optimum makes up for the model's inputs, with tokens of the sample text and nothing masked."""
    if model.config.model_type in TasksManager._SUPPORTED_MODEL_TYPE:  # noqa: SLF001 - no public question
        make = TasksManager.get_exporter_config_constructor(
            model=model, exporter="onnx", task=task, library_name="transformers"
        )
        made = make(model.config, **({"use_past_in_inputs": True} if task.endswith("-with-past") else {}))
    else:
        made = config_for(model, task)
    random.seed(SEED)
    torch.manual_seed(SEED)
    asked = made.generate_dummy_inputs(framework="pt", **SHAPES)
    if "input_ids" in asked:
        shape = asked["input_ids"].shape
        asked["input_ids"] = torch.tensor(ids[: shape.numel()]).reshape(shape)
    for name, value in asked.items():
        if name == "attention_mask":
            asked[name] = torch.ones_like(value)
        elif name == "token_type_ids":
            asked[name] = torch.zeros_like(value)
    return asked


def for_torch(asked: dict[str, Any], config: Any) -> dict[str, Any]:  # noqa: ANN401
    """The feed as the model's forward takes it: with its cache as one object."""
    if "past_key_values" not in asked:
        return asked
    cache = transformers.DynamicCache(config=config)
    for layer, (keys, values) in enumerate(asked["past_key_values"]):
        cache.update(keys.clone(), values.clone(), layer)
    return {**asked, "past_key_values": cache}


def flattened(values: Any, past: str = "present") -> dict[str, torch.Tensor]:  # noqa: ANN401
    """Tensors by their name in the graph, a cache's layer by layer."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, torch.Tensor):
            flat[name] = value
        elif name == "past_key_values" and value is not None:
            for layer, pair in enumerate(value):
                flat |= {
                    f"{past}.{layer}.{kind}": part for kind, part in zip(("key", "value"), pair, strict=False)
                }
    return flat


def difference(reference: np.ndarray, array: np.ndarray) -> dict[str, float]:
    """Largest difference relative to the largest value, and the cosine of the angle."""
    if reference.shape != array.shape:
        raise RefusedError(f"the exported graph gives the shape {array.shape}, torch {reference.shape}")
    one, other = reference.astype(np.float64).ravel(), array.astype(np.float64).ravel()
    largest = float(np.abs(one).max()) or 1.0
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    same = bool(np.array_equal(one, other))
    return {
        "max_rel": float(np.abs(one - other).max()) / largest,
        "cosine": 1.0 if same else float(one @ other) / lengths if lengths else 0.0,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    try:
        main(sys.argv[1])
    except (RefusedError, RemapError) as refused:
        print(" ".join(str(refused).split()), file=sys.stderr)  # noqa: T201 - the program's answer
        sys.exit(2)
