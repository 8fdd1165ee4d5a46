"""A pytorch_model.bin: a zip with a pickle of names and one file for each storage, or an old plain pickle."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

from harness.models.doctor.findings import Examined, Finding, Findings, error, listed, sized, warning
from harness.models.doctor.pickles import Called, Kept, Named, UnreadableError, content, imports
from harness.models.doctor.tensors import Tensor

STORAGES: Final[Mapping[str, tuple[str, int]]] = {
    "DoubleStorage": ("float64", 8),
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}
"""torch's storage classes -> type and bytes of an element."""

HARMLESS: Final = frozenset(
    (
        *(Named("torch", name) for name in ("Size", "device", "dtype", "float16", "bfloat16", "float32")),
        *(Named("torch._utils", name) for name in ("_rebuild_tensor_v2", "_rebuild_parameter")),
        *(Named("torch.storage", name) for name in ("UntypedStorage", "TypedStorage")),
        *(Named("torch", name) for name in STORAGES),
        *(Named("builtins", name) for name in ("set", "dict", "list", "bytearray", "slice", "object")),
        *(Named("__builtin__", name) for name in ("set", "dict", "list", "bytearray", "slice", "object")),
        Named("collections", "OrderedDict"),
        Named("collections", "defaultdict"),
        Named("_codecs", "encode"),
        Named("numpy", "dtype"),
        Named("numpy", "ndarray"),
        *(Named(f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")),
        *(Named(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    )
)
"""What ordinary weights import."""

OLD_MAGIC: Final = bytes.fromhex("8a0a6cfc9c46f9206aa85019")
"""A plain pickle of torch before 1.6 begins with this number, 0x1950a86a20f9469cfc6c."""

LARGEST_PICKLE_BYTES: Final = 100_000_000
AGAIN: Final = "download it again"
SAFER: Final = "convert it to safetensors, on a machine that may be lost: loading it runs code"


def read_torch_file(path: Path, name: str) -> Examined[dict[str, Tensor]]:
    """Check the file at `path`, called `name`, without unpickling; returns the tensors that it describes."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if head[:2] != b"PK":
        yield _not_a_zip(name, head)
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            return (yield from _archive(archive, name))
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, ValueError, OSError) as failed:
        told = f"is cut off or damaged: as a zip of {sized(path.stat().st_size)} it is broken ({failed})"
        yield error("weights", "truncated", name, told, AGAIN)
        return {}


def _not_a_zip(name: str, head: bytes) -> Finding:
    if OLD_MAGIC in head:
        told = "is in the format of torch before 1.6: whether it is whole, and its tensors, are not checked"
        return warning(
            "weights", "old-pickle", name, told, "load it once with torch and save it as safetensors"
        )
    told = f"is no file of torch.save: it begins with {head[:8].hex(' ')}"
    return error("weights", "not-torch", name, told, AGAIN)


def _archive(archive: zipfile.ZipFile, name: str) -> Examined[dict[str, Tensor]]:
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    pickles = [entry for entry in archive.namelist() if entry.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        # Of two, torch might take the one that was not looked at.
        told = f"is a zip with {len(pickles) or 'no'} data.pkl, and torch.save writes one"
        yield error("weights", "not-torch", name, told, AGAIN)
        return {}
    (pickled,) = pickles
    if sizes[pickled] > LARGEST_PICKLE_BYTES:
        told = f"has a list of names of {sized(sizes[pickled])}: its tensors and what it runs are not checked"
        yield warning("weights", "not-listed", name, told, SAFER)
        return {}
    data = archive.read(pickled)
    try:
        yield from _dangers(name, data)
        entries = dict(_named_tensors(content(data)))
    except UnreadableError as failed:
        told = f"cannot be followed without running it ({failed}); its tensors and what it runs: not checked"
        yield warning("weights", "not-listed", name, told, SAFER)
        return {}
    folder = pickled.rpartition("/")[0]
    tensors = {}
    lost = []
    for key, call in entries.items():
        read = _tensor(call, name)
        if read is None:
            continue
        tensors[key], storage, needed = read
        if sizes.get(f"{folder}/data/{storage}", -1) < needed:
            lost.append(key)
    if lost:
        told = f"lacks the values, or some of them, of {len(lost)} of {len(tensors)} tensors: {listed(lost)}"
        yield error("weights", "storage-missing", name, told, AGAIN)
    return tensors


def _dangers(name: str, data: bytes) -> Findings:
    """Names in the pickle that weights have no use for."""
    found = [f"{named.module}.{named.name}" for named in imports(data) if named not in HARMLESS]
    if found:
        told = f"would run {listed(found)} when it is loaded; it was not loaded here"
        yield error("weights", "runs-code", name, told, f"do not load it unless you know why; {SAFER}")


def _named_tensors(value: Any, prefix: str = "") -> Iterator[tuple[str, Called]]:  # noqa: ANN401
    """Tensors of a state dict, also of one that is inside of another (`state_dict`, `model`)."""
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if isinstance(item, Called) and isinstance(item.function, Named):
            yield f"{prefix}{key}", item
        elif isinstance(item, dict) and not prefix:
            yield from _named_tensors(item, f"{key}.")


def _tensor(call: Called, file: str) -> tuple[Tensor, str, int] | None:
    """The tensor that a call rebuilds, the storage it is in, and how many bytes that must have."""
    match call:
        case Called(Named("torch._utils", "_rebuild_parameter"), (Called() as inner, *_)):
            call = inner
    match call:
        case Called(
            Named("torch._utils", "_rebuild_tensor_v2"),
            (Kept(("storage", Named(_, kind), str(key), _, _)), int(offset), tuple(shape), tuple(stride), *_),
        ) if (
            kind in STORAGES and len(shape) == len(stride) and all(isinstance(n, int) for n in shape + stride)
        ):
            dtype, width = STORAGES[kind]
            extent = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True)) + 1
            needed = extent * width if prod(shape) else 0
            tensor = Tensor(shape=shape, dtype=dtype, size_bytes=prod(shape) * width, file=file)
            return tensor, key, needed
        case _:
            return None
