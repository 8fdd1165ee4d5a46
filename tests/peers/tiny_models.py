"""Folders of weights as a hub has them, of a hundred kilobytes and drawn from a seed.

transformers itself makes them, in the environment that folders are exported in.
"""

import json
import subprocess

from harness.cache import Cache

MAKE = """
import sys
from pathlib import Path
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig, BertModel, GlmConfig, GlmForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast,
)

root = Path(sys.argv[1])
torch.manual_seed(0)
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
words += [f"{place}{chr(letter)}" for letter in range(97, 123) for place in ("", "##")]
tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
sizes = dict(
    vocab_size=128, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=64, pad_token_id=0,
)
grouped = dict(num_key_value_heads=2, head_dim=8)
for name, network in {
    "bert": BertModel(BertConfig(**sizes)),
    "llama": LlamaForCausalLM(LlamaConfig(**sizes, **grouped)),
    "glm": GlmForCausalLM(GlmConfig(**sizes, **grouped, attention_bias=True)),
    "multi_head": LlamaForCausalLM(LlamaConfig(**sizes)),
}.items():
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.2)
    network.save_pretrained(root / name)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(root / name)
"""


def run_in(tools, code, *argv):
    """What a script prints that runs in the environment `tools`."""
    done = subprocess.run(
        tools.command("-c", code, *map(str, argv)),
        env={**tools.variables(), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def linked_cache(root):
    """A cache of its own that has the environments of the user's, which take long to build."""
    shared = Cache().root / "environments"
    shared.mkdir(parents=True, exist_ok=True)
    (root / "environments").symlink_to(shared)
    return Cache(root)


def changed(folder, **entries):
    """Write entries of a folder's config.json anew."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
