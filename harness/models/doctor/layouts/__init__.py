"""Which tensors, of which shapes, the configuration of a family implies: one file per way to name them."""

from collections.abc import Callable, Mapping
from typing import Final

from harness.models.doctor.config import Config
from harness.models.doctor.layouts.base import Layout
from harness.models.doctor.layouts.chatglm import chatglm
from harness.models.doctor.layouts.encoders import bert, distilbert, roberta
from harness.models.doctor.layouts.llama import baichuan, gemma, glm, glm4, llama, qwen2, qwen3

__all__ = ["LAYOUTS", "Layout", "layout_of"]

LAYOUTS: Final[Mapping[str, Callable[[Config], Layout]]] = {
    "baichuan": baichuan,
    "bert": bert,
    "chatglm": chatglm,
    "distilbert": distilbert,
    "gemma": gemma,
    "glm": glm,
    "glm4": glm4,
    "llama": llama,
    "mistral": llama,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "roberta": roberta,
    "xlm-roberta": roberta,
}
"""Model type -> its layout, made from the configuration."""


def layout_of(config: Config) -> Layout | None:
    """The layout that `config` implies, None for families that are not known here.

    Raises KeyError with the name of what the configuration lacks, TypeError when a value is no number.
    """
    made = LAYOUTS.get(str(config.get("model_type")))
    return made(config) if made else None
