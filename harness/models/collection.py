"""A folder of networks that are converted already, one file or pair of files for each engine.

Only names are looked at here. Collections such as lite.ai.toolkit's hub have a folder for each engine and
write `slim_320.opt.param`, `slim-320.onnx` and `Slim_320_fp16.mnn` for one network: what names differ in
because of the engine, the optimiser or the precision is taken off, and the rest has to be the same.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from harness.cache import digest_of
from harness.errors import PocketbenchError
from harness.models.artifact_tables import backends_of
from harness.models.original_tables import SUFFIXES
from harness.spec import PRECISIONS, Frozen, PinnedFile, Precision, SuppliedArtifact

SINGLE: Final[Mapping[str, tuple[str, str]]] = {
    ".onnx": ("onnxruntime", "onnx"),
    ".mnn": ("mnn", "mnn"),
    ".nb": ("paddlelite", "nb"),
}
"""Suffix of a file that is an artifact by itself -> runtime and role."""

PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    ".param": ("ncnn", ".bin"),
    ".pdmodel": ("paddlelite", ".pdiparams"),
}
"""Suffix of a network's structure -> runtime, and the suffix of its weights."""

OTHERS: Final[Mapping[str, str]] = {
    ".tnnproto": "TNN", ".tnnmodel": "TNN", ".pb": "TensorFlow", ".tflite": "TensorFlow Lite",
    ".pt": "PyTorch", ".pth": "PyTorch", ".safetensors": "PyTorch", ".caffemodel": "Caffe",
    ".prototxt": "Caffe", ".rknn": "RKNN", ".engine": "TensorRT", ".trt": "TensorRT", ".om": "Ascend",
    ".mlmodel": "Core ML", ".h5": "Keras", ".tmfile": "Tengine", ".ms": "MindSpore Lite",
    ".gguf": "llama.cpp",
}  # fmt: skip
"""Suffixes of other engines' files, which are listed; a README is not."""

_ENGINES: Final = frozenset(
    ("onnxruntime", "onnx", "ort", "mnn", "ncnn", "tnn", "paddle", "paddlelite", "lite")
)
"""Words of a folder's name that say which engine its files are for."""

_MANNERS: Final = frozenset(("opt", "optimized", "sim", "simplified", "mnn", "ncnn", "onnx"))
"""Words of a file's name that say how it was made and not what it is."""

_PRECISIONS: Final[Mapping[str, Precision]] = {
    "fp32": "fp32", "float32": "fp32", "fp16": "fp16", "float16": "fp16", "half": "fp16", "bf16": "bf16",
    "int8": "int8", "w16": "w16", "w8": "w8", "w4": "w4",
}  # fmt: skip
"""Words of a file's name that say its precision; without one it is taken for fp32."""


class FoundArtifact(Frozen, frozen=True, kw_only=True):
    """Files of one network for one engine; paths are relative to the collection."""

    runtime: str
    precision: Precision
    files: dict[str, str]
    name: tuple[str, ...]
    folder: tuple[str, ...]

    @property
    def path(self) -> str:
        """Its first file, to call it by."""
        return next(iter(self.files.values()))

    def supplied(self, hashes: Mapping[str, str | None] | None = None) -> SuppliedArtifact:
        """As the zoo has it, with the SHA-256 of its files by role."""
        known = hashes or {}
        files = {
            role: PinnedFile(source=f"file:{path}", sha256=known.get(role))
            for role, path in self.files.items()
        }
        return SuppliedArtifact(runtime=self.runtime, precision=self.precision, files=files)


class LeftOut(Frozen, frozen=True, kw_only=True):
    """A file of the collection that cannot be measured, and why."""

    path: str
    reason: str


class Network(Frozen, frozen=True, kw_only=True):
    """Everything that was found of one network; `name` is a word that the zoo takes."""

    name: str
    artifacts: tuple[FoundArtifact, ...]


def scan(root: Path) -> tuple[tuple[Network, ...], tuple[LeftOut, ...]]:
    """Networks in `root` and its folders, by name, and the files of models that belong to none.

    Raises PocketbenchError when there is no such folder, or nothing in it that any runtime reads.
    """
    if not root.is_dir():
        raise PocketbenchError(f"there is no folder {root} to import from")
    paths = sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    found = list(_artifacts(paths))
    left_out = [*_unreadable(paths)]
    networks = []
    for name, same in _by_network(found):
        kept, doubles = _without_doubles(same)
        networks.append(Network(name=name, artifacts=kept))
        left_out += doubles
    if not networks:
        readable = ", ".join((*SINGLE, *PAIRS))
        listed = "".join(f"\n  {one.path}: {one.reason}" for one in left_out[:10])
        raise PocketbenchError(f"{root} holds no network that can be measured ({readable}){listed}")
    return tuple(networks), tuple(sorted(left_out, key=lambda one: one.path))


def _artifacts(paths: Sequence[Path]) -> Iterator[FoundArtifact]:
    present = set(paths)
    for path in paths:
        suffix = path.suffix.lower()
        if suffix in SINGLE:
            runtime, role = SINGLE[suffix]
            yield _found(runtime, {role: path})
        elif suffix in PAIRS:
            runtime, partner = PAIRS[suffix]
            if path.with_suffix(partner) in present:
                yield _found(runtime, {suffix[1:]: path, partner[1:]: path.with_suffix(partner)})


def _found(runtime: str, files: Mapping[str, Path]) -> FoundArtifact:
    path = next(iter(files.values()))
    words = _words(path.stem)
    precisions = [_PRECISIONS[word] for word in words if word in _PRECISIONS]
    name = tuple(word for word in words if word not in _MANNERS and word not in _PRECISIONS)
    return FoundArtifact(
        runtime=runtime,
        precision=precisions[-1] if precisions else "fp32",
        files={role: one.as_posix() for role, one in files.items()},
        # A name of other letters than a zoo takes is as good as any: its hash is the same for every engine.
        name=name or words or (digest_of(path.stem.lower())[:8],),
        folder=tuple(word for part in path.parent.parts for word in _words(part) if word not in _ENGINES),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[^a-z0-9]+", text.lower()) if word)


def _unreadable(paths: Sequence[Path]) -> Iterator[LeftOut]:
    present = set(paths)
    structures = {partner: suffix for suffix, (_, partner) in PAIRS.items()}
    for path in paths:
        suffix = path.suffix.lower()
        reason = ""
        if suffix in OTHERS:
            reason = f"{OTHERS[suffix]}'s format: no runtime here reads it"
            if suffix in SUFFIXES:
                reason += ", but one may convert it: name it in a model's originals"
        elif suffix in PAIRS and path.with_suffix(PAIRS[suffix][1]) not in present:
            reason = f"its weights, {path.with_suffix(PAIRS[suffix][1]).name}, are not beside it"
        elif path.name.lower().endswith(".param.bin"):
            reason = "a binary .param: only the text form is read"
        elif suffix in structures and path.with_suffix(structures[suffix]) not in present:
            reason = f"weights whose network, {path.with_suffix(structures[suffix]).name}, is not beside them"
        if reason:
            yield LeftOut(path=path.as_posix(), reason=reason)


def _by_network(found: Iterable[FoundArtifact]) -> Iterator[tuple[str, list[FoundArtifact]]]:
    """Artifacts of the same name; of the same folder too, where one engine has the name in several."""
    by_name: dict[tuple[str, ...], list[FoundArtifact]] = defaultdict(list)
    for one in found:
        by_name[one.name].append(one)
    groups: dict[str, list[FoundArtifact]] = defaultdict(list)
    for name, same in by_name.items():
        folders = {one.folder for one in same}
        ambiguous = len(folders) > 1 and any(
            len({one.folder for one in same if _cell(one) == _cell(other)}) > 1 for other in same
        )
        for one in same:
            groups["_".join((*one.folder, *name) if ambiguous else name)].append(one)
    yield from sorted(groups.items())


def _without_doubles(
    same: Sequence[FoundArtifact],
) -> tuple[tuple[FoundArtifact, ...], list[LeftOut]]:
    """One artifact for each cell: of `net.onnx` and `net-sim.onnx` the one with the shorter name."""
    kept: dict[tuple[str, ...], FoundArtifact] = {}
    left_out = []
    for one in sorted(same, key=lambda one: (len(PurePath(one.path).name), one.path)):
        first = kept.setdefault(_cell(one), one)
        if first is not one:
            reason = f"the same network, runtime and precision ({one.precision}) as {first.path}"
            left_out.append(LeftOut(path=one.path, reason=reason))
    return tuple(
        sorted(kept.values(), key=lambda one: (one.runtime, PRECISIONS.index(one.precision)))
    ), left_out


def _cell(one: FoundArtifact) -> tuple[str, ...]:
    return (one.runtime, one.precision, *backends_of(one.supplied()))
