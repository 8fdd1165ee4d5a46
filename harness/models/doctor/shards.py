"""Weights in several files and the index that says which tensor is in which."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness.models.doctor.files import read_json
from harness.models.doctor.findings import Examined, Findings, error, listed, warning
from harness.models.doctor.tensors import Tensors, total_bytes

NUMBERED: Final = re.compile(
    r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.(?P<suffix>safetensors|bin)"
)
"""How shards are called: model-00001-of-00003.safetensors."""

AGAIN: Final = "`hf download REPO` fetches what is missing and leaves the rest"


def read_index(root: Path, name: str) -> Examined[dict[str, str] | None]:
    """The weight_map of the index `name` (tensor -> file); None when it has none."""
    read = read_json(root / name) or {}
    given = read.get("weight_map")
    if not isinstance(given, Mapping) or not all(isinstance(file, str) for file in given.values()):
        told = "has no weight_map of tensor names and files"
        yield error("weights", "no-weight-map", name, told, f"download it again; {AGAIN}")
        return None
    outside = sorted({file for file in given.values() if "/" in file or "\\" in file or file.startswith(".")})
    if outside:
        told = f"names files outside of the folder: {listed(outside)}"
        yield error("weights", "shard-outside", name, told, "do not use it: an index names files beside it")
    return {tensor: file for tensor, file in given.items() if file not in outside}


def missing_shards(root: Path, index: str, weight_map: Mapping[str, str]) -> Findings:
    """Shards that the index names and the folder lacks, and shards that nobody names."""
    wanted = sorted(set(weight_map.values()))
    missing = [file for file in wanted if not _is_there(root / file)]
    for file in missing:
        lost = sum(holder == file for holder in weight_map.values())
        told = f"is missing: {index} puts {lost} of {len(weight_map)} tensors there"
        yield error("weights", "shard-missing", file, told, AGAIN)
    suffix = ".safetensors" if "safetensors" in index else ".bin"
    for path in sorted(root.glob(f"*-of-*{suffix}")):
        if path.name not in wanted and NUMBERED.fullmatch(path.name):
            told = f"is not in {index}: its tensors are never loaded"
            advice = "index and file are of different downloads: take both from one revision"
            yield warning("weights", "shard-unlisted", path.name, told, advice)


def compare_with_index(
    root: Path, index: str, weight_map: Mapping[str, str], tensors: Mapping[str, Tensors]
) -> Findings:
    """What the headers of the shards (`tensors` by file) hold against what the index says."""
    unlike = False
    for file, held in sorted(tensors.items()):
        absent = sorted(name for name, holder in weight_map.items() if holder == file and name not in held)
        if absent and held:
            told = f"lacks {len(absent)} tensors that {index} puts there: {listed(absent)}"
            advice = "the index and the shard are of different revisions: download both again"
            yield error("weights", "tensor-not-in-shard", file, told, advice)
            unlike = True
        extra = sorted(name for name in held if weight_map.get(name) != file)
        if extra and weight_map:
            told = f"holds {len(extra)} tensors that {index} does not put there: {listed(extra)}"
            yield warning(
                "weights", "tensor-not-in-index", file, told, "make the index anew with save_pretrained"
            )
    metadata = (read_json(root / index) or {}).get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    found = sum(total_bytes(held) for held in tensors.values())
    whole = not unlike and tensors and set(tensors) == set(weight_map.values()) and all(tensors.values())
    if whole and isinstance(total, int) and total != found:
        told = f"says total_size {total}, the shards' headers add up to {found} (off by {abs(total - found)})"
        advice = "index and shards are of different revisions, or the index was made by hand"
        yield warning("weights", "total-size", index, told, advice)


def numbered_without_index(root: Path, suffix: str) -> Findings:
    """Numbered shards that have no index, and which numbers lack."""
    there: dict[str, list[re.Match[str]]] = {}
    for path in sorted(root.glob(f"*.{suffix}")):
        found = NUMBERED.fullmatch(path.name)
        if found:
            there.setdefault(found["stem"], []).append(found)
    for stem, shards in there.items():
        index = f"{stem}.{suffix}.index.json"
        told = f"is missing: {len(shards)} numbered shards lie here, and nothing says what is in them"
        yield error("weights", "no-index", index, told, f"`hf download REPO {index}`")
        count = int(shards[0]["count"])
        absent = sorted(set(range(1, count + 1)) - {int(shard["number"]) for shard in shards})
        for number in absent:
            name = f"{stem}-{number:05}-of-{count:05}.{suffix}"
            yield error("weights", "shard-missing", name, f"is missing: there are {count} shards", AGAIN)


def _is_there(path: Path) -> bool:
    """Also as a broken link: that was told already."""
    return path.is_file() or path.is_symlink()
