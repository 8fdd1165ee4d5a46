"""config.json: is it there, does it name its model, and does the chosen transformers know that."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.models.doctor.files import read_json
from harness.models.doctor.findings import Examined, Findings, error, note, warning
from harness.models.doctor.transformers import judge_model_type

Config = Mapping[str, Any]

DOWNLOAD = "fetch it from where the weights came from: `hf download REPO config.json`"


def check_config(root: Path, bad: frozenset[str], version: str) -> Examined[Config | None]:
    """Judge config.json of the folder `root`; `bad` are files already told to be broken.

    Returns the configuration, None when there is none to go by.
    """
    path = root / "config.json"
    if "config.json" in bad:
        return None
    if not path.is_file():
        yield from _absent(root)
        return None
    config = read_json(path)
    if config is None:
        yield error("config", "not-an-object", "config.json", "is JSON, but no object in braces", DOWNLOAD)
        return None
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        yield error(
            "config",
            "no-model-type",
            "config.json",
            "has no model_type, by which transformers chooses the code",
            f'add it, such as "model_type": "llama"{_guess(config)}',
        )
    else:
        yield judge_model_type(config, version)
    if not config.get("architectures"):
        told = "names no architectures: what the network is for (text, features, classes) is a guess"
        yield warning("config", "no-architectures", "config.json", told, 'add "architectures": ["CLASS"]')
    return config


def check_generation(root: Path, bad: frozenset[str], config: Config | None) -> Findings:
    """The tokens of generation_config.json are within the vocabulary."""
    name, vocabulary = "generation_config.json", vocabulary_size(config or {})
    read = read_json(root / name)
    if name in bad or not (root / name).is_file():
        return
    if read is None:
        told = "is JSON, but no object in braces"
        yield error("config", "not-an-object", name, told, "remove it or download it again")
        return
    beyond = [
        f"{key} {token}"
        for key in ("bos_token_id", "eos_token_id", "pad_token_id")
        for token in (read[key] if isinstance(read.get(key), list) else [read.get(key)])
        if vocabulary and isinstance(token, int) and token >= vocabulary
    ]
    if beyond:
        told = f"{', '.join(beyond)} beyond the vocabulary of {vocabulary}: generating never stops by itself"
        yield warning("config", "token-beyond-vocabulary", name, told, "it belongs to another model")


def vocabulary_size(config: Config) -> int | None:
    """Rows that the configuration gives the embedding, None when it does not say."""
    for key in ("padded_vocab_size", "vocab_size"):
        if isinstance(config.get(key), int):
            return int(config[key])
    return None


def _absent(root: Path) -> Findings:
    if (root / "adapter_config.json").is_file():
        told = "is missing, and there is an adapter_config.json: this is an adapter (LoRA), not a model"
        advice = "merge it into its base model (peft's merge_and_unload) and save that"
        yield error("config", "adapter-only", "config.json", told, advice)
        return
    for other in sorted(root.iterdir()):
        if other.name.lower() == "config.json":
            told = f"is called {other.name}: file names are told apart by case"
            yield error("config", "wrong-case", "config.json", told, f"`mv {other.name} config.json`")
            return
    yield error("config", "no-config", "config.json", "is missing", DOWNLOAD)


def _guess(config: Config) -> str:
    names = config.get("architectures")
    return f" (architectures says {names[0]})" if isinstance(names, list) and names else ""


def check_quantization(config: Config) -> Findings:
    """Weights that are packed are not compared with what the configuration implies."""
    packed = config.get("quantization_config")
    if isinstance(packed, dict):
        method = packed.get("quant_method", "unknown method")
        told = (
            f"weights are packed ({method}): their names and shapes are not compared with the configuration"
        )
        yield note("tensors", "packed-weights", "config.json", told)
    if config.get("quantization_bit"):
        bits = config["quantization_bit"]
        told = f"quantization_bit {bits}: linear weights are packed, their shapes are not compared"
        yield note("tensors", "packed-weights", "config.json", told)
