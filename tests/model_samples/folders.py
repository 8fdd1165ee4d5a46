"""Hugging Face folders of a few kilobytes, whole as they come; a defect is one change to one of them."""

import json

from model_samples.weights import safetensors
from model_samples.wire import message

SIZE, INNER, WORDS, LAYERS = 4, 6, 8, 2

CODE = '''"""A stand-in for the code of a model: nobody may run it."""

from pathlib import Path
{imports}
Path(__file__).with_name("RAN").write_text("the code of the folder was run")


class {name}:
    """Named in auto_map."""
{rest}'''

POINTER = """version https://git-lfs.github.com/spec/v1
oid sha256:4665ecd6a8ca0d0c20b1a0dbff8a3c0d0e9c0a8bd2b9b4f1d6e0a9f3b1c2d3e4
size {size}
"""


def llama(folder, **config):
    """Llama: safetensors, tokenizer.json."""
    write_json(
        folder / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": SIZE,
            "intermediate_size": INNER,
            "num_attention_heads": 2,
            "num_hidden_layers": LAYERS,
            "num_key_value_heads": 1,
            "vocab_size": WORDS,
            **config,
        },
    )
    write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(folder / "tokenizer.json", tokenizer(WORDS))
    (folder / "model.safetensors").write_bytes(safetensors(llama_shapes()))


def llama_shapes(layers=LAYERS):
    layer = {
        "input_layernorm.weight": (SIZE,),
        "mlp.down_proj.weight": (SIZE, INNER),
        "mlp.gate_proj.weight": (INNER, SIZE),
        "mlp.up_proj.weight": (INNER, SIZE),
        "post_attention_layernorm.weight": (SIZE,),
        "self_attn.k_proj.weight": (2, SIZE),
        "self_attn.o_proj.weight": (SIZE, SIZE),
        "self_attn.q_proj.weight": (SIZE, SIZE),
        "self_attn.v_proj.weight": (2, SIZE),
    }
    return {
        "lm_head.weight": (WORDS, SIZE),
        "model.embed_tokens.weight": (WORDS, SIZE),
        **{f"model.layers.{i}.{name}": shape for i in range(layers) for name, shape in layer.items()},
        "model.norm.weight": (SIZE,),
    }


def sharded(folder):
    """The weights of `folder` in two files and an index."""
    shapes = list(llama_shapes().items())
    parts = {f"model-0000{n + 1}-of-00002.safetensors": dict(shapes[n::2]) for n in range(2)}
    (folder / "model.safetensors").unlink()
    for file, held in parts.items():
        (folder / file).write_bytes(safetensors(held))
    total = sum(2 * _product(shape) for _, shape in shapes)
    weight_map = {name: file for file, held in parts.items() for name in held}
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))},
    )


def chatglm2(folder, **config):
    """ChatGLM2: code of its own, a sentencepiece tokenizer."""
    write_json(
        folder / "config.json",
        {
            "architectures": ["ChatGLMModel"],
            "model_type": "chatglm",
            "auto_map": {
                "AutoConfig": "configuration_chatglm.ChatGLMConfig",
                "AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration",
            },
            "add_bias_linear": False,
            "add_qkv_bias": True,
            "ffn_hidden_size": INNER,
            "hidden_size": SIZE,
            "kv_channels": 2,
            "multi_query_attention": True,
            "multi_query_group_num": 1,
            "num_attention_heads": 2,
            "num_layers": 1,
            "padded_vocab_size": WORDS,
            **config,
        },
    )
    tokenizer_class = "tokenization_chatglm.ChatGLMTokenizer"
    write_json(folder / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": [tokenizer_class, None]}})
    (folder / "tokenizer.model").write_bytes(sentencepiece(WORDS))
    write_code(folder / "configuration_chatglm.py", "ChatGLMConfig")
    write_code(folder / "quantization.py", "QuantizedLinear")
    write_code(folder / "tokenization_chatglm.py", "ChatGLMTokenizer", packages=["sentencepiece"])
    write_code(
        folder / "modeling_chatglm.py",
        "ChatGLMForConditionalGeneration",
        siblings=["configuration_chatglm"],
        later=["quantization"],
    )
    (folder / "model.safetensors").write_bytes(safetensors(chatglm2_shapes()))


def chatglm2_shapes():
    return {
        "transformer.embedding.word_embeddings.weight": (WORDS, SIZE),
        "transformer.encoder.final_layernorm.weight": (SIZE,),
        "transformer.encoder.layers.0.input_layernorm.weight": (SIZE,),
        "transformer.encoder.layers.0.mlp.dense_4h_to_h.weight": (SIZE, INNER),
        "transformer.encoder.layers.0.mlp.dense_h_to_4h.weight": (2 * INNER, SIZE),
        "transformer.encoder.layers.0.post_attention_layernorm.weight": (SIZE,),
        "transformer.encoder.layers.0.self_attention.dense.weight": (SIZE, SIZE),
        "transformer.encoder.layers.0.self_attention.query_key_value.bias": (8,),
        "transformer.encoder.layers.0.self_attention.query_key_value.weight": (8, SIZE),
        "transformer.output_layer.weight": (WORDS, SIZE),
        "transformer.rotary_pos_emb.inv_freq": (1,),
    }


def baichuan(folder):
    """Baichuan-7B: code of its own, q, k and v in one matrix."""
    llama(folder, model_type="baichuan", architectures=["BaiChuanForCausalLM"])
    config = json.loads((folder / "config.json").read_bytes())
    del config["num_key_value_heads"]
    config["max_position_embeddings"] = 16
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_baichuan.BaiChuanForCausalLM"}
    write_json(folder / "config.json", config)
    tokenizer_class = "tokenization_baichuan.BaiChuanTokenizer"
    write_json(folder / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": [tokenizer_class, None]}})
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(sentencepiece(WORDS))
    write_code(folder / "modeling_baichuan.py", "BaiChuanForCausalLM")
    write_code(folder / "tokenization_baichuan.py", "BaiChuanTokenizer")
    shapes = {
        name: shape for name, shape in llama_shapes().items() if name[-13] not in "qkv" or "_proj" not in name
    }
    shapes |= {f"model.layers.{i}.self_attn.W_pack.weight": (3 * SIZE, SIZE) for i in range(LAYERS)}
    (folder / "model.safetensors").write_bytes(safetensors(shapes))


def bert(folder):
    """BERT: vocab.txt."""
    write_json(
        folder / "config.json",
        {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": SIZE,
            "intermediate_size": INNER,
            "max_position_embeddings": 8,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "type_vocab_size": 2,
            "vocab_size": WORDS,
        },
    )
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    (folder / "vocab.txt").write_text("".join(f"word{n}\n" for n in range(WORDS)))
    (folder / "model.safetensors").write_bytes(safetensors(bert_shapes(), "F32"))


def bert_shapes():
    layer = "encoder.layer.0"
    square = [f"{layer}.attention.self.{name}" for name in ("query", "key", "value")]
    linear = dict.fromkeys((*square, f"{layer}.attention.output.dense"), (SIZE, SIZE))
    linear |= {f"{layer}.intermediate.dense": (INNER, SIZE), f"{layer}.output.dense": (SIZE, INNER)}
    norms = ["embeddings.LayerNorm", f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    return {
        "embeddings.position_embeddings.weight": (8, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
        "embeddings.word_embeddings.weight": (WORDS, SIZE),
        **{f"{name}.weight": shape for name, shape in linear.items()},
        **{f"{name}.bias": shape[:1] for name, shape in linear.items()},
        **{f"{name}.{part}": (SIZE,) for name in norms for part in ("weight", "bias")},
    }


def tokenizer(words):
    return {
        "version": "1.0",
        "added_tokens": [{"id": words - 1, "content": "</s>"}],
        "model": {"type": "BPE", "vocab": {f"t{n}": n for n in range(words - 1)}, "merges": []},
    }


def sentencepiece(words):
    """A ModelProto: pieces with a text and a score."""
    return message(*((1, message((1, f"t{n}"), (3, 1))) for n in range(words)))


def write_code(path, name, *, siblings=(), later=(), packages=()):
    """A module with a class `name`, which imports `later` within functions and leaves RAN where it is run."""
    imports = "".join(f"\nimport {package}  # noqa: F401\n" for package in packages)
    imports += "".join(f"\nfrom .{sibling} import *  # noqa: F403\n" for sibling in siblings)
    rest = "".join(
        f"\n    def {sibling}(self):\n        from . import {sibling}\n\n        return {sibling}\n"
        for sibling in later
    )
    path.write_text(CODE.format(imports=imports, name=name, rest=rest))


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=False) + "\n")


def read_json(path):
    return json.loads(path.read_bytes())


def change_json(path, **changes):
    """Set keys of a .json file, or remove them (None)."""
    read = {**read_json(path), **changes}
    write_json(path, {key: value for key, value in read.items() if value is not None})


def _product(shape):
    total = 1
    for size in shape:
        total *= size
    return total
