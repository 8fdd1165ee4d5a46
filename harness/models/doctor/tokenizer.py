"""What turns a person's input into the model's: a tokenizer, or an image processor's settings."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from harness.models.doctor.config import Config, vocabulary_size
from harness.models.doctor.files import read_json
from harness.models.doctor.findings import Examined, Finding, Findings, error, good, note, warning
from harness.models.doctor.tensors import Tensors
from harness.models.doctor.vocabulary import (
    tokens_of_json,
    tokens_of_lines,
    tokens_of_pairs,
    tokens_of_sentencepiece,
)

Reader = Callable[[Path, str], Examined[int | None]]

READERS: Final[Mapping[str, Reader]] = {
    "tokenizer.json": tokens_of_json,
    "tokenizer.model": tokens_of_sentencepiece,
    "sentencepiece.bpe.model": tokens_of_sentencepiece,
    "spiece.model": tokens_of_sentencepiece,
    "vocab.txt": tokens_of_lines,
    "vocab.json": tokens_of_pairs,
}
"""Files that hold a vocabulary, in the order in which transformers prefers them."""

SLOW: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("llama", "mistral", "mixtral", "gemma", "gemma2", "baichuan", "chatglm"), "tokenizer.model"
    ),
    **dict.fromkeys(("bert", "distilbert", "mpnet", "electra"), "vocab.txt"),
    **dict.fromkeys(("gpt2", "roberta", "qwen2", "qwen3"), "vocab.json"),
    "xlm-roberta": "sentencepiece.bpe.model",
    "albert": "spiece.model",
}
"""What a family takes where there is no tokenizer.json; the others have nothing else."""

OWN_TOKENIZER: Final = frozenset(("baichuan", "chatglm"))
"""Their tokenizer is code of the folder's, which reads tokenizer.model and nothing else."""

PICTURES: Final = frozenset(
    ("vit", "deit", "swin", "convnext", "resnet", "mobilenet_v2", "beit", "segformer")
)
EMBEDDINGS: Final = ("*embed_tokens.weight", "*word_embeddings.weight", "*wte.weight")


def check_input(root: Path, bad: frozenset[str], config: Config | None, tensors: Tensors | None) -> Findings:
    """Check the tokenizer of the folder `root`, or what takes its place for pictures."""
    model_type = str((config or {}).get("model_type", ""))
    if model_type in PICTURES:
        yield from _pictures(root)
        return
    yield from _settings(root, bad, model_type)
    name = _chosen(root, model_type)
    if name is None:
        yield _none(model_type)
        return
    if name in bad:
        return
    tokens = yield from READERS[name](root, name)
    if tokens is None:
        return
    yield from _fits(name, tokens, config, tensors)


def _chosen(root: Path, model_type: str) -> str | None:
    names = ["tokenizer.model"] if model_type in OWN_TOKENIZER else list(READERS)
    return next((name for name in names if (root / name).is_file() or (root / name).is_symlink()), None)


def _none(model_type: str) -> Finding:
    slow = SLOW.get(model_type)
    if model_type in OWN_TOKENIZER:
        told = f"is missing: {model_type}'s tokenizer reads this file and no other"
    else:
        told = f"is missing{f', and so is {slow}' if slow else ''}: text cannot be turned into tokens"
    name = "tokenizer.model" if model_type in OWN_TOKENIZER else "tokenizer.json"
    advice = "`hf download REPO` without a filter on names; `git clone` without git-lfs leaves it out"
    return error("tokenizer", "no-tokenizer", name, told, advice)


def _settings(root: Path, bad: frozenset[str], model_type: str) -> Findings:
    name = "tokenizer_config.json"
    if name in bad:
        return
    advice = f"`hf download REPO {name}`"
    if not (root / name).is_file():
        if model_type in OWN_TOKENIZER:
            told = f"is missing: nothing else says which class of the folder's is {model_type}'s tokenizer"
            yield error("tokenizer", "tokenizer-part-missing", name, told, advice)
        else:
            told = "is missing: special tokens, the chat template and the longest input are guessed"
            yield warning("tokenizer", "no-tokenizer-config", name, told, advice)
        return
    read = read_json(root / name)
    if read is None:
        yield error("tokenizer", "tokenizer-broken", name, "is JSON, but no object in braces", advice)
    elif model_type in OWN_TOKENIZER and "AutoTokenizer" not in (
        read["auto_map"] if isinstance(read.get("auto_map"), dict) else {}
    ):
        told = f"names no AutoTokenizer in auto_map, and {model_type}'s tokenizer is code of the folder's"
        yield error("tokenizer", "tokenizer-part-missing", name, told, advice)


def _pictures(root: Path) -> Findings:
    name = "preprocessor_config.json"
    if (root / name).exists():
        yield good("tokenizer", name, "an image processor's settings; no tokenizer is needed")
    else:
        told = "is missing: size, mean and deviation of the pictures are a guess"
        yield warning("tokenizer", "no-preprocessor", name, told, f"`hf download REPO {name}`")


def _fits(name: str, tokens: int, config: Config | None, tensors: Tensors | None) -> Findings:
    """No token is beyond the embedding's rows."""
    rows, source = _rows(tensors), "the embedding"
    if rows is None:
        rows, source = vocabulary_size(config or {}), "config.json"
    if rows is None:
        yield note(
            "tokenizer",
            "vocabulary-not-checked",
            name,
            f"{tokens} tokens; the embedding's rows are not known",
        )
    elif tokens > rows:
        told = f"has {tokens} tokens, {source} {rows}: the last {tokens - rows} crash it or give nonsense"
        advice = (
            "tokenizer and weights are of different models; or call resize_token_embeddings and save again"
        )
        yield error("tokenizer", "vocabulary-too-large", name, told, advice)
    else:
        yield good("tokenizer", name, f"{tokens} tokens, {rows} rows in {source}")


def _rows(tensors: Tensors | None) -> int | None:
    for name, tensor in (tensors or {}).items():
        if tensor.shape and any(fnmatchcase(name, pattern) for pattern in EMBEDDINGS):
            return tensor.shape[0]
    return None
