"""ChatGLM2, ChatGLM3 and GLM-4-9B: modeling_chatglm.py of their repositories."""

from harness.models.doctor.config import Config
from harness.models.doctor.layouts.base import Layout, Shape, linear, number, number_or


def chatglm(config: Config) -> Layout:
    """Query, key and value in one matrix, and both halves of the gated layer in another.

    Raises KeyError for ChatGLM-6B, the first, which is another network of the same model type.
    """
    size, inner = number(config, "hidden_size"), number(config, "ffn_hidden_size")
    words, width = number(config, "padded_vocab_size"), number(config, "kv_channels")
    heads = number(config, "num_attention_heads")
    shared = (
        number_or(config, "multi_query_group_num", heads) if config.get("multi_query_attention") else heads
    )
    biased = bool(config.get("add_bias_linear"))
    layer: dict[str, Shape] = {
        "input_layernorm.weight": (size,),
        **linear(
            "self_attention.query_key_value",
            (heads + 2 * shared) * width,
            size,
            bias=biased or bool(config.get("add_qkv_bias")),
        ),
        **linear("self_attention.dense", size, heads * width, bias=biased),
        "post_attention_layernorm.weight": (size,),
        **linear("mlp.dense_h_to_4h", 2 * inner, size, bias=biased),
        **linear("mlp.dense_4h_to_h", size, inner, bias=biased),
    }
    final: dict[str, Shape] = (
        {"encoder.final_layernorm.weight": (size,)} if config.get("post_layer_norm", True) else {}
    )
    return Layout(
        base="transformer.",
        layer="encoder.layers.",
        layers=number(config, "num_layers"),
        fixed={
            "embedding.word_embeddings.weight": (words, size),
            "output_layer.weight": (words, size),
            **final,
        },
        per_layer=layer,
        embedding="embedding.word_embeddings.weight",
        optional=("*rotary_pos_emb.inv_freq", "*.weight_scale", "*prefix_encoder.*", "*layernorm.bias"),
    )
