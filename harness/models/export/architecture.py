"""What a folder of weights holds and what it is to become, by its config.json alone: nothing is executed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from harness.errors import PocketbenchError, UnknownNameError, UnsupportedError

TASKS: Final = (
    "feature-extraction",
    "fill-mask",
    "image-classification",
    "multiple-choice",
    "object-detection",
    "question-answering",
    "semantic-segmentation",
    "text-classification",
    "text-generation",
    "text-generation-with-past",
    "token-classification",
)
"""What a graph is for, in the words of the hub; each decides the outputs, and `-with-past` the cache."""

HEADS: Final[Mapping[str, str]] = {
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForPreTraining": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForSemanticSegmentation": "semantic-segmentation",
    "Model": "feature-extraction",
}
"""How the name of a class ends, and what it is for; the first that fits counts."""

REMAPPED: Final[Mapping[str, str]] = {"chatglm": "glm", "baichuan": "llama"}
"""Model type that transformers has no class for -> the type its weights are written as (remap_hf.py)."""

_SEVERAL_GRAPHS: Final = ("ForConditionalGeneration", "EncoderDecoderModel")


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json; raises PocketbenchError when there is none or it says no model_type."""
    path = folder / "config.json"
    if not path.is_file():
        raise PocketbenchError(_without_config(folder))
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PocketbenchError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise PocketbenchError(f"{path} names no model_type: it says which architecture the weights are for")
    return config


def task_of(folder: Path, config: Mapping[str, Any], asked: str | None) -> str:
    """The task: `asked`, or what the class in config.json is for.

    Raises UnknownNameError for a task that is not known, UnsupportedError for a model of several graphs,
    PocketbenchError when config.json names no class.
    """
    if asked is not None:
        if asked not in TASKS:
            raise UnknownNameError("task", asked, TASKS, "export")
        return asked
    named = config.get("architectures") or []
    for name in named if isinstance(named, list) else ():
        if str(name).endswith(_SEVERAL_GRAPHS):
            raise UnsupportedError(
                f"{folder.name} is a {name}, which becomes several graphs (encoder, decoder), and one is "
                "measured: export the part that is to be measured by hand and give its ONNX file"
            )
        for ending, task in HEADS.items():
            if str(name).endswith(ending):
                return task
    raise PocketbenchError(
        f"{folder / 'config.json'} names {_listed(named)}, which does not tell what it is for: "
        f"set export.task to one of {', '.join(TASKS)}"
    )


def _without_config(folder: Path) -> str:
    """What lies there in place of a folder of weights, and what to do with that."""
    if folder.is_file():
        return f"{folder} is a file: weights are exported from their folder, and an ONNX file needs no export"
    if not folder.is_dir():
        return f"there is no folder {folder} to export"
    told = f"{folder} has no config.json: a folder of weights is exported by what it says of them"
    graphs = sorted(path.name for path in folder.glob("*.onnx"))
    if graphs:
        told += (
            f". It holds ONNX files, which need no export: make one of them the source ({', '.join(graphs)})"
        )
    return told


def _listed(named: object) -> str:
    return f"the class {', '.join(map(str, named))}" if isinstance(named, list) and named else "no class"
