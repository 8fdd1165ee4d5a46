"""What can be wrong with any file before anybody reads it: half of it, a pointer to it, a web page."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from harness.models.doctor.findings import Examined, Finding, Findings, error, sized, warning

LFS: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>\d+)"
)
"""A git-lfs pointer: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md."""

PARTIAL: Final = (".incomplete", ".part", ".partial", ".aria2", ".crdownload", ".download", ".tmp")
"""What browsers, aria2, wget wrappers and huggingface_hub call a file that they have not finished."""

MODEL_FILES: Final = frozenset(
    (
        *(".json", ".safetensors", ".bin", ".pt", ".pth", ".model", ".txt", ".py"),
        *(".onnx", ".onnx_data", ".data", ".mnn", ".weight", ".param", ".nb", ".tflite", ".gguf"),
        *(".pdmodel", ".pdiparams"),
    )
)
"""Suffixes of what a model is made of; anything else (a README, a picture) can be broken without harm."""

WITHOUT_CONTENT: Final = frozenset(("__init__.py",))
WEB_PAGE: Final = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
SKIPPED: Final = frozenset((".git", "__pycache__"))
HEAD_BYTES: Final = 512


class Pointer(NamedTuple):
    """What a git-lfs pointer stands for."""

    oid: str
    size_bytes: int


def read_pointer(head: bytes) -> Pointer | None:
    """The pointer that a file beginning with `head` is, or None."""
    found = LFS.match(head)
    return Pointer(found["oid"].decode(), int(found["size"])) if found else None


def step_of(name: str) -> str:
    """Which step a file belongs to, by its name."""
    if name == "config.json":
        return "config"
    if name.endswith(".py"):
        return "code"
    if "tokenizer" in name or name in {"vocab.txt", "vocab.json", "merges.txt", "sentencepiece.bpe.model"}:
        return "tokenizer"
    return "weights" if Path(name).suffix in {".safetensors", ".bin", ".pt", ".pth"} else "files"


def broken(path: Path, name: str) -> Finding | None:
    """The defect of one file that needs no knowledge of its format, or None; `name` is how to call it."""
    step = step_of(name)
    if path.is_symlink() and not path.exists():
        return error(
            step,
            "dangling-link",
            name,
            f"is a link to {path.readlink()}, which is not there",
            "the file it points at was removed or its download was broken off: download it again "
            "(`hf download REPO`), or copy the folder with `cp -rL` where it is whole",
        )
    if not os.access(path, os.R_OK):
        return error(step, "unreadable", name, "cannot be read by this user", f"`chmod u+r {path}`")
    if path.stat().st_size > 0:
        return _something_else(path, name)
    if path.suffix not in MODEL_FILES or path.name in WITHOUT_CONTENT:
        return None
    return error(step, "empty", name, "is empty", "its download failed: fetch it again")


def _something_else(path: Path, name: str) -> Finding | None:
    """What lies there in place of the file."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    step, harms = step_of(name), path.suffix in MODEL_FILES
    pointer = read_pointer(head)
    if pointer is not None:
        told = (
            f"is a git-lfs pointer of {path.stat().st_size} bytes, not the file: that has "
            f"{sized(pointer.size_bytes)} ({pointer.size_bytes} bytes), sha256 {pointer.oid}"
        )
        advice = "`git lfs install && git lfs pull` in the repository, or `hf download REPO`"
        return (error if harms else warning)(step, "lfs-pointer", name, told, advice)
    if harms and WEB_PAGE.match(head):
        return error(
            step,
            "web-page",
            name,
            "is a web page, not the file",
            "the link was to the page about the file: on the hub, use /resolve/ in place of /blob/, and log "
            "in for gated models",
        )
    return None


def check_files(root: Path) -> Examined[frozenset[str]]:
    """Look at every file under `root`; returns the names (relative) of those that nobody need read."""
    bad = set()
    for path in files_under(root):
        name = path.relative_to(root).as_posix()
        if path.suffix in PARTIAL:
            yield _half_downloaded(path, name)
            bad.add(name)
            continue
        found = broken(path, name) or broken_json(path, name)
        if found is not None:
            yield found
            bad.add(name)
    return frozenset(bad)


def files_under(root: Path) -> Iterator[Path]:
    """Files and links under `root`, in order, without what belongs to git or Python."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        yield from (Path(folder, name) for name in sorted(names))


def broken_json(path: Path, name: str) -> Finding | None:
    """The finding that a .json file cannot be read, with its line, or None."""
    if path.suffix != ".json":
        return None
    try:
        json.loads(path.read_bytes())
    except json.JSONDecodeError as failed:
        told = f"is not valid JSON: {failed.msg} at line {failed.lineno}, column {failed.colno}"
    except UnicodeDecodeError:
        told = "is not text in UTF-8"
    except RecursionError:
        told = "is nested beyond reason"
    except ValueError as failed:  # a number of more digits than Python reads
        told = f"cannot be read: {failed}"
    else:
        return None
    return error(step_of(name), "invalid-json", name, told, "download it again, or mend it by hand")


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a .json file; None when it is not there, cannot be read or is no object."""
    try:
        read = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def check_hub_blobs(blobs: Path) -> Findings:
    """Downloads into the hub's cache that were broken off."""
    for path in sorted(blobs.glob("*.incomplete")) if blobs.is_dir() else ():
        yield warning(
            "files",
            "half-downloaded",
            f"blobs/{path.name}",
            f"is a download that was broken off after {sized(path.stat().st_size)}",
            "`hf download REPO` goes on where it stopped",
        )


def _half_downloaded(path: Path, name: str) -> Finding:
    whole = path.with_suffix("")
    there = whole.is_file() and path.suffix != ".aria2"
    told = f"is what was left of a download that did not finish ({sized(path.stat().st_size)})"
    if path.suffix == ".aria2":
        told = f"says that aria2 has not finished {whole.name}"
    advice = f"remove it: {whole.name} is there" if there else f"go on with the download of {whole.name}"
    # The hub's own folder of downloads keeps what was broken off earlier, also when a later one succeeded.
    severe = warning if there or ".cache" in Path(name).parts else error
    return severe("files", "half-downloaded", name, told, advice)
