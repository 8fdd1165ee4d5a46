"""Which versions of transformers read which model types.

Taken from CONFIG_MAPPING_NAMES of released wheels (4.28.0, 4.34.0, 4.37.0, 4.38.0, 4.40.2, 4.46.0, 4.51.0,
4.52.1, 4.57.6, 5.0.0 and 5.23.0 were read). Where a type came between two of these, the version is one of
those between, and was not looked at itself. What is not in the table is not judged.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from harness.errors import PocketbenchError
from harness.models.doctor.findings import Finding, error, good, note, warning

TRANSFORMERS: Final = "4.57.6"
"""The version that pocketbench exports with."""

Version = tuple[int, ...]

OLDEST: Final[Version] = (4, 28)
"""What was there before is not told apart."""

SINCE: Final[Mapping[str, Version]] = {
    **dict.fromkeys(
        (
            *("albert", "bart", "bert", "bloom", "camembert", "clip", "convnext", "deberta-v2", "deit"),
            *(
                "distilbert",
                "electra",
                "ernie",
                "gpt2",
                "gpt_neo",
                "gpt_neox",
                "gptj",
                "llama",
                "mobilenet_v2",
            ),
            *("mpnet", "opt", "resnet", "roberta", "swin", "t5", "vit", "wav2vec2", "whisper", "xlm-roberta"),
            "xlnet",
        ),
        OLDEST,
    ),
    "mpt": (4, 32),
    "falcon": (4, 33),
    "mistral": (4, 34),
    "mixtral": (4, 36),
    "phi": (4, 36),
    "qwen2": (4, 37),
    "gemma": (4, 38),
    "stablelm": (4, 38),
    "cohere": (4, 39),
    "starcoder2": (4, 39),
    "olmo": (4, 40),
    "qwen2_moe": (4, 40),
    "phi3": (4, 41),
    "gemma2": (4, 42),
    "granite": (4, 45),
    "qwen2_vl": (4, 45),
    "glm": (4, 46),
    "olmo2": (4, 47),
    "modernbert": (4, 48),
    "gemma3": (4, 50),
    "gemma3_text": (4, 50),
    "deepseek_v3": (4, 51),
    "qwen3": (4, 51),
    "qwen3_moe": (4, 51),
    "glm4": (4, 52),
    "smollm3": (4, 53),
    "deepseek_v2": (4, 54),
    "glm4_moe": (4, 54),
    **dict.fromkeys(("glm4_moe_lite", "minimax_m2", "ministral3", "nanochat"), (5, 0)),
}
"""Model type -> the first version that has it; none of these was removed up to 5.23."""

REMOTE: Final = frozenset(("baichuan", "chatglm", "internlm", "internlm2", "minicpm", "qwen"))
"""Model types that no version has: they come with their own code."""

WRITTEN_FOR: Final[Version] = (4, 40)
"""What the code of chatglm2 and baichuan works with in full."""

REMAPPED: Final[Mapping[str, str]] = {"chatglm": "GlmForCausalLM", "baichuan": "LlamaForCausalLM"}
"""As what pocketbench writes weights whose own code it need not run then: the same logits (remap_hf.py)."""


def parse_version(text: str) -> Version:
    """`4.57.6` as numbers; raises PocketbenchError for anything else."""
    if not re.fullmatch(r"\d+\.\d+(\.\w+)*", text, re.ASCII):
        raise PocketbenchError(f"--transformers {text!r} is not a version such as {TRANSFORMERS}")
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def judge_model_type(config: Mapping[str, Any], version: str) -> Finding:
    """Whether that version of transformers reads the model type of `config`."""
    model_type = str(config["model_type"])
    chosen, told = parse_version(version), f"model_type {model_type!r}"
    if model_type in REMAPPED:
        return _judge_early_code(config, version)
    if model_type in REMOTE:
        told += f" is in no transformers; whether its own code works with {version} was not tried"
        return note("config", "remote-code-only", "config.json", told)
    since = SINCE.get(model_type)
    if chosen < OLDEST or since is None:
        told += f" is not in the table of what transformers {version} has: not checked"
        told += ", but the folder brings code for it" if config.get("auto_map") else ""
        return note("config", "type-not-checked", "config.json", told)
    if chosen >= since:
        return good("config", "config.json", f"{model_type}, which transformers {version} has")
    first = ".".join(map(str, since))
    told += f" is not in transformers {version}: it came with {first}"
    advice = f"take transformers {first} or later, or a model of a family that {version} has"
    return error("config", "type-unknown", "config.json", told, advice)


def remapped_as(config: Mapping[str, Any]) -> str | None:
    """The class that pocketbench writes the weights for in place of their own; None when it does not.

    Not the first ChatGLM and packed weights. Of Baichuan only the 7B: 13B has ALiBi, Baichuan2 a NormHead.
    """
    model_type = str(config.get("model_type"))
    fits = {
        "chatglm": "padded_vocab_size" in config and not config.get("quantization_bit"),
        "baichuan": "max_position_embeddings" in config and "z_loss_weight" not in config,
    }
    return REMAPPED[model_type] if fits.get(model_type) else None


def _judge_early_code(config: Mapping[str, Any], version: str) -> Finding:
    """ChatGLM and Baichuan, whose own code is older than most of transformers."""
    chosen, model_type, instead = parse_version(version), str(config["model_type"]), remapped_as(config)
    if chosen[:2] == WRITTEN_FOR:
        return good("config", "config.json", f"{model_type}, whose code works with transformers {version}")
    told = f"model_type {model_type!r} is in no transformers, and its own code works in full with 4.40 only"
    if chosen[:2] == (4, 57) and model_type == "chatglm":
        told += f"; with {version} its forward pass runs, generating text does not"
    elif chosen >= (4, 57):
        told += f", not with {version}"
    else:
        told += f"; {version} was not tried"
    advice = "take transformers 4.40.2 for its own code (`--transformers 4.40.2` judges for that)"
    if instead:
        advice += f"; pocketbench exports it as {instead}, and then none of its code runs"
    runs = instead or model_type == "chatglm"
    severe = error if chosen >= (5,) or (not runs and chosen >= (4, 57)) else warning
    return severe("config", "remote-code-old", "config.json", told, advice)
