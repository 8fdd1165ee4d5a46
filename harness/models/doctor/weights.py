"""The weights of a folder: which files transformers would take, and what their headers say."""

from pathlib import Path
from typing import Final

from harness.models.doctor.findings import Examined, Finding, Findings, error, good, listed, note, several
from harness.models.doctor.safetensors import read_safetensors
from harness.models.doctor.shards import (
    compare_with_index,
    missing_shards,
    numbered_without_index,
    read_index,
)
from harness.models.doctor.tensors import Tensor, Tensors, described
from harness.models.doctor.torch_file import read_torch_file

PREFERRED: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What transformers takes, the first that is there."""

OTHER_FRAMEWORKS: Final = ("tf_model.h5", "flax_model.msgpack", "model.ckpt.index")


def check_weights(root: Path, bad: frozenset[str]) -> Examined[Tensors | None]:
    """Check the weights in the folder `root`; `bad` are files already told to be broken.

    Returns every tensor by name; None when a header could not be read or a file is missing, so that nothing
    can be said of what is not there.
    """
    chosen = next((name for name in PREFERRED if (root / name).is_file() or (root / name).is_symlink()), None)
    if chosen is None:
        yield from _none(root)
        return None
    yield from _unused(root, chosen)
    if chosen in bad:
        return None
    if not chosen.endswith(".index.json"):
        tensors = yield from read_weights(root / chosen, chosen)
        return tensors or None
    weight_map = yield from read_index(root, chosen)
    if weight_map is None:
        return None
    yield from missing_shards(root, chosen, weight_map)
    return (yield from _sharded(root, bad, chosen, weight_map))


def read_weights(path: Path, name: str) -> Examined[dict[str, Tensor]]:
    """The tensors of one file, of either format."""
    read = read_safetensors if path.suffix == ".safetensors" else read_torch_file
    found: list[Finding] = []
    tensors = yield from _remembered(read(path, name), found)
    if tensors:
        told = f"{several(len(tensors), 'tensor')}, {described(tensors)}"
        if any(finding.severity == "error" for finding in found):
            yield note("weights", "header-says", name, f"by its header it has {told}")
        else:
            yield good("weights", name, told)
    return tensors


def _remembered(steps: Examined[dict[str, Tensor]], found: list[Finding]) -> Examined[dict[str, Tensor]]:
    """The steps as they come, with each finding added to `found`."""
    while True:
        try:
            finding = next(steps)
        except StopIteration as ended:
            tensors: dict[str, Tensor] = ended.value
            return tensors
        found.append(finding)
        yield finding


def _sharded(
    root: Path, bad: frozenset[str], index: str, weight_map: dict[str, str]
) -> Examined[Tensors | None]:
    shards: dict[str, Tensors] = {}
    for file in sorted(set(weight_map.values()) - bad):
        if (root / file).is_file():
            shards[file] = yield from read_weights(root / file, file)
    yield from compare_with_index(root, index, weight_map, shards)
    whole = set(shards) == set(weight_map.values()) and all(shards.values())
    return {name: tensor for held in shards.values() for name, tensor in held.items()} if whole else None


def _none(root: Path) -> Findings:
    numbered = [*numbered_without_index(root, "safetensors"), *numbered_without_index(root, "bin")]
    if numbered:
        yield from numbered
        return
    others = [name for name in OTHER_FRAMEWORKS if (root / name).is_file()]
    differently = sorted(
        path.name for pattern in ("*.safetensors", "*.bin", "*.pth") for path in root.glob(pattern)
    )
    if others:
        told = f"there are weights for another framework only: {listed(others)}"
        advice = "take the repository's safetensors or pytorch_model.bin, or save it from that framework"
    elif differently:
        told = f"none has a name that transformers looks for ({', '.join(PREFERRED)}): {listed(differently)}"
        advice = "rename it to model.safetensors (or pytorch_model.bin) if it is the whole model"
    else:
        told = "there are none: neither " + " nor ".join(PREFERRED)
        advice = "`hf download REPO`; `git clone` without git-lfs leaves them out"
    yield error("weights", "no-weights", "model.safetensors", told, advice)


def _unused(root: Path, chosen: str) -> Findings:
    others = [name for name in PREFERRED if name != chosen and (root / name).is_file()]
    if others:
        told = f"is taken; {listed(others)} beside it is not, and was not looked into"
        yield note("weights", "other-weights", chosen, told)
