"""How many tokens the files of a tokenizer have, read without any tokenizer library."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from harness.models.doctor.files import read_json
from harness.models.doctor.findings import Examined, error
from harness.models.doctor.protobuf import MalformedError, fields

PIECE: Final = 1
"""Field of sentencepiece's ModelProto that every piece of the vocabulary is one of."""

AGAIN: Final = "download it again"


def tokens_of_json(root: Path, name: str) -> Examined[int | None]:
    """Highest token of a tokenizer.json, plus one; None when it is not a tokenizer's."""
    read = read_json(root / name) or {}
    model = read.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict | list):
        told = "is JSON, but no tokenizer: it has no model with a vocab"
        yield error("tokenizer", "tokenizer-broken", name, told, AGAIN)
        return None
    # A unigram vocabulary is a list of pieces and scores, the others map pieces to numbers.
    size = len(vocabulary) if isinstance(vocabulary, list) else _highest(vocabulary.values())
    added = read.get("added_tokens")
    ids = [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    return max(size, _highest(ids))


def tokens_of_sentencepiece(root: Path, name: str) -> Examined[int | None]:
    """Pieces of a sentencepiece model; None when it cannot be read."""
    try:
        with memoryview((root / name).read_bytes()) as data:
            pieces = sum(field.number == PIECE for field in fields(data))
    except MalformedError as failed:
        told = f"is cut off: {failed}" if failed.cut else f"is no sentencepiece model: {failed}"
        yield error("tokenizer", "tokenizer-broken", name, told, AGAIN)
        return None
    if not pieces:
        told = "is no sentencepiece model: it has no pieces"
        yield error("tokenizer", "tokenizer-broken", name, told, AGAIN)
        return None
    return pieces


def tokens_of_lines(root: Path, name: str) -> Examined[int | None]:
    """Lines of a vocab.txt."""
    try:
        return len((root / name).read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError:
        yield error("tokenizer", "tokenizer-broken", name, "is not text in UTF-8", AGAIN)
        return None


def tokens_of_pairs(root: Path, name: str) -> Examined[int | None]:
    """Highest token of a vocab.json, plus one; its merges.txt has to be beside it."""
    if not (root / "merges.txt").exists():
        told = f"is missing: {name} is of no use without it"
        yield error(
            "tokenizer", "tokenizer-part-missing", "merges.txt", told, "`hf download REPO merges.txt`"
        )
    try:
        read = json.loads((root / name).read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict):
        yield error("tokenizer", "tokenizer-broken", name, "is JSON, but no object in braces", AGAIN)
        return None
    return _highest(read.values())


def _highest(numbers: Iterable[Any]) -> int:
    return 1 + max((number for number in numbers if isinstance(number, int)), default=-1)
