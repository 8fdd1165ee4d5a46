"""Llama and the families that name their tensors after it.

From transformers 4.57.6, models/{llama,mistral,qwen2,qwen3,gemma,glm,glm4}/modeling_*.py, and from
modeling_baichuan.py of the Baichuan-7B repository.
"""

from harness.models.doctor.config import Config
from harness.models.doctor.layouts.base import Layout, Shape, linear, number, number_or


def llama(config: Config) -> Layout:
    """Llama and Mistral: biases where the configuration says so."""
    biased = bool(config.get("attention_bias"))
    return _decoder(config, _attention(config, bias=biased, out_bias=biased) | _gated(config))


def qwen2(config: Config) -> Layout:
    """Qwen2: q, k and v have biases, whatever the configuration says."""
    return _decoder(config, _attention(config, bias=True) | _gated(config))


def qwen3(config: Config) -> Layout:
    """Qwen3: q and k are normalised per head."""
    biased, head = bool(config.get("attention_bias")), _head(config, 128)
    norms: dict[str, Shape] = {"self_attn.q_norm.weight": (head,), "self_attn.k_norm.weight": (head,)}
    attention = _attention(config, bias=biased, out_bias=biased, head=head)
    return _decoder(config, attention | norms | _gated(config))


def gemma(config: Config) -> Layout:
    """Gemma: as llama with heads of their own size, and the head is the embedding."""
    biased = bool(config.get("attention_bias"))
    attention = _attention(config, bias=biased, out_bias=biased, head=_head(config, 256))
    return _decoder(config, attention | _gated(config), tied=True)


def glm(config: Config) -> Layout:
    """GLM: gate and up in one matrix."""
    return _decoder(config, _glm_layer(config))


def glm4(config: Config) -> Layout:
    """GLM-4-0414: as GLM with two more norms."""
    size = number(config, "hidden_size")
    norms = {f"{name}.weight": (size,) for name in ("post_self_attn_layernorm", "post_mlp_layernorm")}
    return _decoder(config, _glm_layer(config) | norms)


def baichuan(config: Config) -> Layout:
    """Baichuan: q, k and v in one matrix, W_pack."""
    size = number(config, "hidden_size")
    packed = linear("self_attn.W_pack", 3 * size, size) | linear("self_attn.o_proj", size, size)
    return _decoder(config, packed | _gated(config))


def _decoder(config: Config, layer: dict[str, Shape], *, tied: bool = False) -> Layout:
    size, words = number(config, "hidden_size"), number(config, "vocab_size")
    norms: dict[str, Shape] = {"input_layernorm.weight": (size,), "post_attention_layernorm.weight": (size,)}
    shared = config.get("tie_word_embeddings", tied)
    return Layout(
        base="model.",
        layer="layers.",
        layers=number(config, "num_hidden_layers"),
        fixed={"embed_tokens.weight": (words, size), "norm.weight": (size,)},
        per_layer=layer | norms,
        head={} if shared else {"lm_head.weight": (words, size)},
        embedding="embed_tokens.weight",
        optional=(
            "lm_head.weight",
            "score.*",
            "classifier.*",
            "*rotary_emb.inv_freq",
            "*.rotary_emb.cos_cached",
            "*.rotary_emb.sin_cached",
        ),
    )


def _attention(
    config: Config, *, bias: bool, out_bias: bool = False, head: int | None = None
) -> dict[str, Shape]:
    size, heads = number(config, "hidden_size"), number(config, "num_attention_heads")
    width = head or _head(config, size // heads)
    shared = number_or(config, "num_key_value_heads", heads)
    return {
        **linear("self_attn.q_proj", heads * width, size, bias=bias),
        **linear("self_attn.k_proj", shared * width, size, bias=bias),
        **linear("self_attn.v_proj", shared * width, size, bias=bias),
        **linear("self_attn.o_proj", size, heads * width, bias=out_bias),
    }


def _gated(config: Config) -> dict[str, Shape]:
    size, inner = number(config, "hidden_size"), number(config, "intermediate_size")
    biased = bool(config.get("mlp_bias"))
    return {
        **linear("mlp.gate_proj", inner, size, bias=biased),
        **linear("mlp.up_proj", inner, size, bias=biased),
        **linear("mlp.down_proj", size, inner, bias=biased),
    }


def _glm_layer(config: Config) -> dict[str, Shape]:
    size, inner = number(config, "hidden_size"), number(config, "intermediate_size")
    attention = _attention(config, bias=bool(config.get("attention_bias", True)), head=_head(config, 128))
    return attention | linear("mlp.gate_up_proj", 2 * inner, size) | linear("mlp.down_proj", size, inner)


def _head(config: Config, otherwise: int) -> int:
    return number_or(config, "head_dim", otherwise)
