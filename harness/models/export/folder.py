"""Which files of a folder make its graph what it is."""

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Final

from harness.cache import tree_sha256
from harness.errors import PocketbenchError
from harness.models.doctor import diagnose

KINDS: Final = frozenset({".json", ".txt", ".model", ".jinja", ".py", ".safetensors", ".bin"})
"""Configuration, tokenizers, code and weights; weights of other frameworks and pictures change nothing."""

NO_MATTER: Final = frozenset({"remote-code-old", "quantization-missing"})
"""Errors of the doctor's that do not keep a folder from being exported: such weights are written anew."""


def check_healthy(folder: Path, *, passed_over: Collection[str]) -> None:
    """Raise PocketbenchError with what the doctor finds wrong, before torch says it in its way.

    `passed_over` are steps of its examination whose errors do not keep this folder from being exported.
    """
    found = [
        f"{one.where} {one.what}{f' ({one.advice})' if one.advice else ''}"
        for diagnosis in diagnose(folder)
        for one in diagnosis.findings
        if one.severity == "error" and one.step not in passed_over and one.kind not in NO_MATTER
    ]
    if found:
        rest = f", and {len(found) - 1} more: see `pocketbench models doctor {folder}`"
        more = rest if len(found) > 1 else ""
        raise PocketbenchError(f"{folder}: {found[0]}{more}")


def relevant_files(folder: Path) -> list[Path]:
    """The folder's files that exporting may read, sorted; pickled weights only where there are no others.

    Raises PocketbenchError when there are no weights, or a part of them is missing.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in KINDS and path.is_file())
    files = [path for path in files if not any(p.startswith(".") for p in path.relative_to(folder).parts)]
    if any(path.suffix == ".safetensors" for path in files):
        files = [path for path in files if path.suffix != ".bin"]
    if not any(path.suffix in {".safetensors", ".bin"} for path in files):
        graphs = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.onnx"))
        instead = f". An ONNX file needs no export: make {graphs[0]} the source" if graphs else ""
        raise PocketbenchError(f"{folder} holds no weights: model.safetensors or pytorch_model.bin{instead}")
    return files


def folder_sha256(folder: Path, files: list[Path]) -> str:
    """SHA-256 over names and contents of the folder's `files`."""
    stamps = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return _sha256(str(folder), stamps)


@lru_cache(maxsize=32)
def _sha256(folder: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Once for a state of the files: every case of a model asks."""
    return tree_sha256(Path(folder), [Path(name) for name, _, _ in stamps])


def weight_bytes(files: list[Path]) -> int:
    """Bytes of the weights among `files`."""
    return sum(path.stat().st_size for path in files if path.suffix in {".safetensors", ".bin"})
