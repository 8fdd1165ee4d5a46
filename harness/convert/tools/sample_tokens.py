"""A text as ids of the tokenizer that lies with weights, and where the ids come from."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, NamedTuple

import tokenizers
import transformers

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20731
COUNT = 4096


class Tokens(NamedTuple):
    """`COUNT` ids, and in words for people where they come from; `drawn` is whether they mean nothing."""

    ids: list[int]
    origin: str
    drawn: bool


class UnreadableError(Exception):
    """The folder has no tokenizer that can be read; the text says why."""


def sample_tokens(folder: Path, config: Any, sample: Path, *, trusted: bool) -> Tokens:  # noqa: ANN401
    """Ids of the sample text over and over; without a tokenizer, seeded ids of the vocabulary.

    A folder's own class of tokenizer runs only when it is `trusted`; without it tokenizer.json, which holds
    no code, is read alone.
    """
    text = sample.read_text("utf-8")
    size = getattr(config, "vocab_size", None) or 2
    try:
        ids, origin = told_by_tokenizer(folder, text, trusted=trusted)
        check_known(ids, size, origin)
    except UnreadableError as error:
        draw = random.Random(SEED)  # noqa: S311 - scenery, not secrets
        drawn = [draw.randrange(size) for _ in range(COUNT)]
        return Tokens(drawn, f"drawn from the vocabulary: {error}", drawn=True)
    return Tokens([ids[n % len(ids)] for n in range(COUNT)], origin, drawn=False)


def told_by_tokenizer(folder: Path, text: str, *, trusted: bool) -> tuple[list[int], str]:
    """The text's ids, and which tokenizer gave them."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=trusted, local_files_only=True
        )
        return tokenizer(text)["input_ids"], type(tokenizer).__name__
    except Exception as error:
        if not is_the_folders(error):
            raise
        # Kept with the export, which is the same wherever the folder lies.
        why = " ".join(str(error).replace(str(folder), "the folder").split())
    if not (folder / "tokenizer.json").is_file():
        raise UnreadableError(f"no tokenizer can be read ({why})")
    return told_by_file(folder / "tokenizer.json", text), f"tokenizer.json alone ({why})"


def told_by_file(path: Path, text: str) -> list[int]:
    """What a tokenizer in its one file, read without any code of the folder, makes of the text."""
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        if not is_the_folders(error):
            raise
        raise UnreadableError(f"tokenizer.json cannot be read ({error})") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer.encode(text).ids


def check_known(ids: list[int], size: int, origin: str) -> None:
    """Raise UnreadableError for ids that the weights have no word for."""
    if not ids or max(ids) >= size:
        largest = max(ids, default=0)
        raise UnreadableError(f"{origin} gives ids up to {largest}, and the weights have {size} words")


def is_the_folders(error: Exception) -> bool:
    """Whether the folder is at fault, not this program: the tokenizers library raises bare Exceptions."""
    known = (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError, RuntimeError)
    return isinstance(error, known) or type(error) is Exception


def write_tokens(out: Path, tokens: Tokens) -> dict[str, Any]:
    """Write the ids for feeds; what export.json says of them."""
    (out / "tokens.json").write_text(json.dumps(tokens.ids), "utf-8")
    return {"tokens": tokens.origin, "tokens_drawn": tokens.drawn}
