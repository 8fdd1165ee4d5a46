"""Which files of a hub's repository a model needs; the rest is the same weights again, or pictures."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from harness.models.forms import Place
from harness.models.sources.folders import belongs, is_chosen

WEIGHTS: Final = (
    (".safetensors",),
    (".bin",),
    (".pt", ".pth", ".ckpt"),
    (".onnx", ".onnx_data"),
    (".gguf",),
)
"""Forms of the same weights; of a repository that has several, the first is taken."""

NOT_NEEDED: Final = frozenset(
    (
        *(".h5", ".msgpack", ".ot", ".tflite", ".mlmodel", ".mlpackage", ".xml", ".npz", ".npy"),
        *(".zip", ".gz", ".tar", ".ipynb", ".csv", ".parquet", ".jsonl"),
        *(".md", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".pdf", ".mp3", ".mp4", ".wav", ".flac"),
    )
)
"""Weights of frameworks that nothing here reads, documents, examples."""

LEFT_OUT_FOLDERS: Final = frozenset(
    ("onnx", "openvino", "coreml", "original", "flax", "runs", "logs", "assets", "images", "figures")
)
"""Folders at the top in which repositories keep other forms of the model, where they have one beside it."""


def needed_files(names: Iterable[str], place: Place) -> list[str]:
    """Those of a repository's files that `place` means, sorted.

    A member of `place` is that file, or all within that folder. Filters take the place of the choice made
    here: `only=` gives what it says, `without=` takes away of what would be chosen.
    """
    visible = sorted(name for name in names if all(map(belongs, name.split("/"))))
    member = place.member or ""
    if member and not member.endswith("/"):
        return [name for name in visible if name == member]
    inside = {name.removeprefix(member): name for name in visible if name.startswith(member)}
    usual = list(inside) if place.only or member else _usual(list(inside))
    return [inside[name] for name in usual if is_chosen(name, place)]


def _usual(names: list[str]) -> list[str]:
    """The files without those that hold the same weights again and those that are no part of a model."""
    form = next((form for form in WEIGHTS if any(_at_top(name, form) for name in names)), None)
    if form is None:  # the weights lie in folders only
        return [name for name in names if _suffix(name) not in NOT_NEEDED]
    others = {suffix for other in WEIGHTS if other != form for suffix in other} | NOT_NEEDED
    kept = [n for n in names if _form(n) not in others and n.split("/")[0] not in LEFT_OUT_FOLDERS]
    if any(_is_for_transformers(name) for name in kept):
        # The vendor's own copy beside the one of the transformers library.
        kept = [name for name in kept if not PurePosixPath(name).name.startswith("consolidated")]
    return kept


def _is_for_transformers(name: str) -> bool:
    return name.startswith(("model", "pytorch_model")) and _form(name) in {".safetensors", ".bin"}


def _at_top(name: str, form: tuple[str, ...]) -> bool:
    return "/" not in name and _suffix(name) in form and name != "training_args.bin"


def _form(name: str) -> str:
    """The suffix that says in which form weights are; an index has that of the weights it is of."""
    return _suffix(name.removesuffix(".index.json"))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
