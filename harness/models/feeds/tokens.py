"""A text as token ids, for encoders and decoders: nothing masked, one segment, a cache in use.

The ids come from the tokenizer that lies with the weights: exporting a folder (harness/models/export) leaves
a text of a few hundred words in them, and a model that was exported elsewhere gives such a list, JSON, as its
`feed_source`. The text is English for the most part, as a network that was trained on text expects it to be.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.errors import PocketbenchError
from harness.models.feeds import Feed
from harness.spec import Model, TensorSpec

IDS: Final = "input_ids"
PAST: Final = "past_key_values."
PAST_SCALE: Final = 0.5
"""Of the cache's values, which are drawn: as large as keys and values usually are."""


def tokens(model: Model, photo: Path | None, seed: int) -> Feed:
    """Ids of a text, another part of it for every seed, and what goes with them by the inputs' names.

    Knows input_ids, attention_mask, token_type_ids, position_ids and past_key_values.*. Raises
    PocketbenchError for another input, or when there are no ids.
    """
    if photo is None:
        raise PocketbenchError(
            f"model {model.name}: feed 'tokens' needs the model's own tokenizer, which a folder of weights "
            "brings; give feed_source, a JSON list of token ids, for a model that is an ONNX file"
        )
    ids = _ids(model, photo)
    return {tensor.name: _values(model, tensor, ids, seed) for tensor in model.inputs}


def _ids(model: Model, path: Path) -> list[int]:
    try:
        told = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PocketbenchError(f"model {model.name}: {path} is no JSON list of token ids: {error}") from error
    if not isinstance(told, list) or not told or not all(type(one) is int for one in told):
        raise PocketbenchError(f"model {model.name}: {path} is no JSON list of token ids")
    return told


def _values(model: Model, tensor: TensorSpec, ids: list[int], seed: int) -> NDArray[Any]:
    length = int(np.prod(tensor.shape))
    if tensor.name == IDS:
        first = seed * length
        values: NDArray[Any] = np.array([ids[(first + n) % len(ids)] for n in range(length)])
    elif tensor.name == "attention_mask":
        values = np.ones(length)
    elif tensor.name == "token_type_ids":
        values = np.zeros(length)
    elif tensor.name == "position_ids":
        values = np.arange(length) % tensor.shape[-1] + _past_length(model)
    elif tensor.name.startswith(PAST):
        # By name, so that no two layers remember the same.
        values = np.random.default_rng([seed, *tensor.name.encode()]).normal(scale=PAST_SCALE, size=length)
    else:
        raise PocketbenchError(
            f"model {model.name}: feed 'tokens' has nothing for the input {tensor.name!r}; it knows {IDS}, "
            f'attention_mask, token_type_ids, position_ids and {PAST}*. Use feed = "arrays"'
        )
    return values.reshape(tensor.shape).astype(tensor.dtype)


def _past_length(model: Model) -> int:
    """How many tokens the cache holds: what comes is behind them."""
    return next((tensor.shape[-2] for tensor in model.inputs if tensor.name.startswith(PAST)), 0)
