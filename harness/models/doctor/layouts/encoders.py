"""BERT and the encoders that name their tensors after it, and DistilBERT.

From transformers 4.57.6, models/{bert,roberta,xlm_roberta,distilbert}/modeling_*.py.
"""

from harness.models.doctor.config import Config
from harness.models.doctor.layouts.base import Layout, Shape, linear, norm, number

HEADS = ("cls.*", "lm_head.*", "classifier.*", "qa_outputs.*", "*pooler.*", "vocab_*", "pre_classifier.*")
"""What models for a task have besides, each its own."""


def bert(config: Config) -> Layout:
    """BERT."""
    return _encoder(config, "bert.")


def roberta(config: Config) -> Layout:
    """RoBERTa and XLM-RoBERTa."""
    return _encoder(config, "roberta.")


def distilbert(config: Config) -> Layout:
    """DistilBERT, which has configuration keys of its own."""
    size, inner = number(config, "dim"), number(config, "hidden_dim")
    layer: dict[str, Shape] = {
        **{
            k: v
            for part in ("q_lin", "k_lin", "v_lin", "out_lin")
            for k, v in _square(f"attention.{part}", size)
        },
        **norm("sa_layer_norm", size),
        **linear("ffn.lin1", inner, size, bias=True),
        **linear("ffn.lin2", size, inner, bias=True),
        **norm("output_layer_norm", size),
    }
    return Layout(
        base="distilbert.",
        layer="transformer.layer.",
        layers=number(config, "n_layers"),
        fixed={
            "embeddings.word_embeddings.weight": (number(config, "vocab_size"), size),
            "embeddings.position_embeddings.weight": (number(config, "max_position_embeddings"), size),
            **norm("embeddings.LayerNorm", size),
        },
        per_layer=layer,
        embedding="embeddings.word_embeddings.weight",
        optional=HEADS,
    )


def _encoder(config: Config, base: str) -> Layout:
    size, inner = number(config, "hidden_size"), number(config, "intermediate_size")
    layer: dict[str, Shape] = {
        **{k: v for part in ("query", "key", "value") for k, v in _square(f"attention.self.{part}", size)},
        **linear("attention.output.dense", size, size, bias=True),
        **norm("attention.output.LayerNorm", size),
        **linear("intermediate.dense", inner, size, bias=True),
        **linear("output.dense", size, inner, bias=True),
        **norm("output.LayerNorm", size),
    }
    return Layout(
        base=base,
        layer="encoder.layer.",
        layers=number(config, "num_hidden_layers"),
        fixed={
            "embeddings.word_embeddings.weight": (number(config, "vocab_size"), size),
            "embeddings.position_embeddings.weight": (number(config, "max_position_embeddings"), size),
            "embeddings.token_type_embeddings.weight": (number(config, "type_vocab_size"), size),
            **norm("embeddings.LayerNorm", size),
        },
        per_layer=layer,
        embedding="embeddings.word_embeddings.weight",
        optional=(*HEADS, "*position_ids", "*token_type_ids"),
    )


def _square(name: str, size: int) -> list[tuple[str, Shape]]:
    return list(linear(name, size, size, bias=True).items())
