"""Write weights whose class transformers no longer has as those of a class that computes the same.

chatglm (ChatGLM2 and 3) becomes GlmForCausalLM: query_key_value is split, the rest is renamed.
baichuan (Baichuan-7B) becomes LlamaForCausalLM: W_pack is split in three.
Nothing of the folder is executed.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor


class RemapError(Exception):
    """These weights are not what the class computes; the text is the whole message."""


def remap(folder: Path, target: Path) -> None:
    """Write the folder anew in `target`, which is made; tokenizer files are taken over."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    kind = config["model_type"]
    written, renamed = REMAPS[kind](config, read_weights(folder))
    target.mkdir()
    for path in folder.iterdir():
        if path.is_file() and path.suffix in {".json", ".model", ".txt"} and "index" not in path.name:
            shutil.copyfile(path, target / path.name)
    (target / "config.json").write_text(json.dumps(written), "utf-8")
    save_file({name: tensor.contiguous() for name, tensor in renamed.items()}, target / "model.safetensors")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder; pickles are read as data only."""
    files = sorted(folder.glob("*.safetensors"))
    if files:
        parts = [load_file(path) for path in files]
    else:
        files = sorted(folder.glob("pytorch_model*.bin"))
        parts = [torch.load(path, map_location="cpu", weights_only=True) for path in files]
    if not parts:
        raise RemapError("the folder holds no weights (*.safetensors or pytorch_model*.bin)")
    return {name: tensor for part in parts for name, tensor in part.items()}


def from_chatglm(
    config: dict[str, Any], weights: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """ChatGLM2's configuration and weights as Glm's."""
    wanted = {
        "multi_query_attention": True,
        "rmsnorm": True,
        "post_layer_norm": True,
        "add_bias_linear": False,
        "apply_residual_connection_post_layernorm": False,
    }
    require(config, wanted, "ChatGLM2 or ChatGLM3")
    if config.get("quantization_bit"):
        raise RemapError(f"the weights are quantized to {config['quantization_bit']} bits: take the original")
    size, heads, groups = (
        config[key] for key in ("kv_channels", "num_attention_heads", "multi_query_group_num")
    )
    written = {
        "architectures": ["GlmForCausalLM"],
        "model_type": "glm",
        "vocab_size": config["padded_vocab_size"],
        "hidden_size": config["hidden_size"],
        "intermediate_size": config["ffn_hidden_size"],
        "num_hidden_layers": config["num_layers"],
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": size,
        "partial_rotary_factor": 0.5,
        "rope_theta": 10000.0 * config.get("rope_ratio", 1),
        "max_position_embeddings": config["seq_length"],
        "rms_norm_eps": config["layernorm_epsilon"],
        "attention_bias": config.get("add_qkv_bias", False),
        "tie_word_embeddings": False,
        "pad_token_id": config.get("pad_token_id") or 0,
        "eos_token_id": config.get("eos_token_id"),
    }
    names = {
        "transformer.embedding.word_embeddings.weight": "model.embed_tokens.weight",
        "transformer.encoder.final_layernorm.weight": "model.norm.weight",
        "transformer.output_layer.weight": "lm_head.weight",
    }
    layers = {
        "input_layernorm": "input_layernorm",
        "post_attention_layernorm": "post_attention_layernorm",
        "self_attention.dense": "self_attn.o_proj",
        "mlp.dense_h_to_4h": "mlp.gate_up_proj",
        "mlp.dense_4h_to_h": "mlp.down_proj",
    }
    renamed = {}
    for name, tensor in weights.items():
        if name.endswith("rotary_pos_emb.inv_freq"):
            continue
        if name in names:
            renamed[names[name]] = tensor
            continue
        number, inner, kind = layer_of(name, "transformer.encoder.layers.")
        place = f"model.layers.{number}"
        if inner == "self_attention.query_key_value":
            parts = tensor.split([heads * size, groups * size, groups * size])
            renamed |= {f"{place}.self_attn.{n}_proj.{kind}": p for n, p in zip("qkv", parts, strict=True)}
        elif inner in layers:
            renamed[f"{place}.{layers[inner]}.{kind}"] = tensor
        else:
            raise RemapError(f"the tensor {name} is none of ChatGLM2's")
    return written, renamed


def from_baichuan(
    config: dict[str, Any], weights: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Baichuan-7B's configuration and weights as Llama's."""
    if "max_position_embeddings" not in config:
        raise RemapError("this is Baichuan-13B (ALiBi in place of rotary positions), another architecture")
    if "z_loss_weight" in config:
        raise RemapError("this is Baichuan2 (its output layer is normalised), another architecture")
    written = {key: value for key, value in config.items() if key not in {"auto_map", "tokenizer_class"}}
    written |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    renamed = {}
    for name, tensor in weights.items():
        if name.endswith("rotary_emb.inv_freq"):
            continue
        if ".self_attn.W_pack." in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                renamed[name.replace("W_pack", f"{letter}_proj")] = part
        else:
            renamed[name] = tensor
    return written, renamed


REMAPS: dict[str, Callable[[dict[str, Any], dict[str, Tensor]], tuple[dict[str, Any], dict[str, Tensor]]]] = {
    "chatglm": from_chatglm,
    "baichuan": from_baichuan,
}


def require(config: dict[str, Any], wanted: dict[str, Any], name: str) -> None:
    """Raise RemapError unless the configuration says what the class computes."""
    for key, value in wanted.items():
        if config.get(key) != value:
            raise RemapError(f"config.json says {key} = {config.get(key)!r}; {name} has {value!r}")


def layer_of(name: str, prefix: str) -> tuple[str, str, str]:
    """Number of the layer, name within it, and weight or bias, of a tensor's name."""
    number, _, inner = name.removeprefix(prefix).partition(".")
    inner, _, kind = inner.rpartition(".")
    if not name.startswith(prefix) or not number.isdigit():
        raise RemapError(f"the tensor {name} is none of ChatGLM2's")
    return number, inner, kind
