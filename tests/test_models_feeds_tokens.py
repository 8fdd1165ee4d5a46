"""Tokens as a feed: a text in the model's own words, and what goes with it."""

import json

import msgspec
import numpy as np
import pytest

from harness.errors import PocketbenchError
from harness.models.feeds import make_feed
from harness.spec import Model, TensorSpec

TOKENS = TensorSpec(name="input_ids", shape=(1, 16), dtype="int64")


def test_tokens_are_other_words_for_every_seed_and_a_decoder_is_in_the_middle_of_its_work(tmp_path):
    text = tmp_path / "tokens.json"
    text.write_text(json.dumps(list(range(100))))
    past = TensorSpec(name="past_key_values.0.key", shape=(1, 2, 8, 4))
    inputs = (
        msgspec.structs.replace(TOKENS, shape=(1, 3)),
        TensorSpec(name="attention_mask", shape=(1, 11), dtype="int64"),
        TensorSpec(name="position_ids", shape=(1, 3), dtype="int64"),
        past,
    )
    model = Model(name="m", source="file:m.onnx", sha256="0" * 64, feed="tokens", inputs=inputs)
    first, second = (make_feed(model, text, seed=seed) for seed in (0, 1))
    assert (first["input_ids"].tolist(), second["input_ids"].tolist()) == ([[0, 1, 2]], [[3, 4, 5]])
    assert first["position_ids"].tolist() == [[8, 9, 10]]
    assert first["attention_mask"].all()
    assert first[past.name].std() > 0.1
    assert not np.array_equal(first[past.name], second[past.name])


@pytest.mark.parametrize(
    ("content", "inputs", "told"),
    [
        (None, (TOKENS,), "needs the model's own tokenizer"),
        ("[1, 'two']", (TOKENS,), "is no JSON list of token ids"),
        ('["one"]', (TOKENS,), "is no JSON list of token ids"),
        ("[1]", (TensorSpec(name="pixel_values", shape=(1, 3)),), "has nothing for the input 'pixel_values'"),
    ],
)
def test_tokens_that_cannot_be_had_are_told(tmp_path, content, inputs, told):
    text = tmp_path / "tokens.json"
    text.write_text(content or "")
    model = Model(name="m", source="file:m.onnx", sha256="0" * 64, feed="tokens", inputs=inputs)
    with pytest.raises(PocketbenchError, match=told):
        make_feed(model, text if content else None)
