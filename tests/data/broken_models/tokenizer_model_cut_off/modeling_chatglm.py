"""A stand-in for the code of a model: nobody may run it."""

from pathlib import Path

from .configuration_chatglm import *  # noqa: F403

Path(__file__).with_name("RAN").write_text("the code of the folder was run")


class ChatGLMForConditionalGeneration:
    """Named in auto_map."""

    def quantization(self):
        from . import quantization

        return quantization
