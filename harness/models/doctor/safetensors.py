"""The header of a .safetensors file, read by hand: https://github.com/huggingface/safetensors#format.

Eight bytes of length, a JSON object of that length, then the tensors without holes.
"""

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

from harness.models.doctor.findings import Examined, Finding, error, listed, sized, warning
from harness.models.doctor.tensors import Tensor

LARGEST_HEADER_BYTES: Final = 100_000_000
"""What the reader of the format refuses."""

DTYPES: Final[Mapping[str, tuple[str, int]]] = {
    "F64": ("float64", 64), "F32": ("float32", 32), "F16": ("float16", 16), "BF16": ("bfloat16", 16),
    "I64": ("int64", 64), "I32": ("int32", 32), "I16": ("int16", 16), "I8": ("int8", 8),
    "U64": ("uint64", 64), "U32": ("uint32", 32), "U16": ("uint16", 16), "U8": ("uint8", 8),
    "BOOL": ("bool", 8), "C64": ("complex64", 64),
    "F8_E4M3": ("float8_e4m3", 8), "F8_E5M2": ("float8_e5m2", 8), "F8_E8M0": ("float8_e8m0", 8),
    "F6_E2M3": ("float6_e2m3", 6), "F6_E3M2": ("float6_e3m2", 6), "F4": ("float4", 4),
}  # fmt: skip
"""Type in the header -> its name and bits."""

AGAIN: Final = "download it again; `sha256sum` tells whether it is the file the hub shows"
CONVERTED_BADLY: Final = (
    "what wrote it is at fault: convert the weights again with safetensors' own save_file"
)


def read_safetensors(path: Path, name: str) -> Examined[dict[str, Tensor]]:
    """Check the file at `path`, called `name`; returns its tensors as far as the header describes them."""
    size = path.stat().st_size
    header = yield from _header(path, name, size)
    if header is None:
        return {}
    content, begins = header
    metadata = content.pop("__metadata__", None)
    if not isinstance(metadata, dict) or "format" not in metadata:
        told = "has no `format` in its metadata: some versions of transformers refuse such a file"
        yield warning(
            "weights", "no-format", name, told, 'save it with save_file(..., metadata={"format": "pt"})'
        )
    tensors: dict[str, Tensor] = {}
    spans: list[tuple[int, int, str]] = []
    for key, entry in content.items():
        read = _entry(name, key, entry)
        if isinstance(read, Finding):
            yield read
            continue
        tensor, (begin, end) = read
        if end - begin != tensor.size_bytes:
            extents = "x".join(map(str, tensor.shape)) or "one number"
            told = (
                f"{tensor.dtype} {extents} takes {tensor.size_bytes} bytes, the header gives it {end - begin}"
            )
            yield error("weights", "bytes-mismatch", f"{name}: {key}", told, CONVERTED_BADLY)
        tensors[key] = tensor
        spans.append((begin, end, key))
    yield from _places(name, sorted(spans), size - begins)
    return tensors


def _header(path: Path, name: str, size: int) -> Examined[tuple[dict[str, Any], int] | None]:
    with path.open("rb") as stream:
        first = stream.read(8)
        length = int.from_bytes(first, "little")
        if size < 8 or length > LARGEST_HEADER_BYTES:
            told = f"is no safetensors file: it begins with {first!r}, where the length of a header should be"
            if size < 8:
                told = f"is no safetensors file: it has {size} bytes"
            yield error(
                "weights", "header-too-large", name, told, f"it is another kind of file, or damaged: {AGAIN}"
            )
            return None
        text = stream.read(length)
    if len(text) < length:
        told = f"is cut off within its header: {sized(size)} of at least {sized(8 + length)}"
        yield error("weights", "truncated", name, told, AGAIN)
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as failed:
        content, told = None, f"has a header that is not JSON ({failed})"
    else:
        told = "has a header that is no JSON object"
    if not isinstance(content, dict):
        yield error("weights", "header-garbage", name, told, AGAIN)
        return None
    return content, 8 + length


def _entry(name: str, key: str, entry: Any) -> tuple[Tensor, tuple[int, int]] | Finding:  # noqa: ANN401
    """One tensor of the header and where its bytes lie, or what is wrong with it."""
    where = f"{name}: {key}"
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if all(
            isinstance(extent, int) and extent >= 0 for extent in shape
        ):
            pass
        case _:
            told = "lacks dtype, shape or data_offsets in the header"
            return error("weights", "header-garbage", where, told, CONVERTED_BADLY)
    if dtype not in DTYPES:
        told = f"has type {dtype}, which is not in the format (known: {', '.join(DTYPES)})"
        return error(
            "weights", "dtype-unknown", where, told, "take a newer safetensors, or save it in another type"
        )
    word, bits = DTYPES[dtype]
    needed = (prod(shape) * bits + 7) // 8
    return Tensor(shape=tuple(shape), dtype=word, size_bytes=needed, file=name), (begin, end)


def _places(name: str, spans: list[tuple[int, int, str]], there: int) -> Examined[None]:
    """The tensors fill what is behind the header: nothing beyond it, over another, or in no tensor."""
    beyond = [key for _, end, key in spans if end > there]
    last = max((end for _, end, _ in spans), default=0)
    if beyond:
        told = f"is cut off: {sized(there)} of {sized(last)} of tensors are there; lost: {listed(beyond)}"
        yield error("weights", "truncated", name, f"{told} ({len(beyond)} of {len(spans)})", AGAIN)
    before_end, before = 0, ""
    for begin, end, key in spans:
        if begin < before_end:
            told = f"{key} and {before} share bytes {begin} to {min(end, before_end)}"
            yield error("weights", "offsets-overlap", name, told, CONVERTED_BADLY)
        elif begin > before_end:
            told = f"bytes {before_end} to {begin}, before {key}, belong to no tensor"
            yield error("weights", "offsets-hole", name, told, CONVERTED_BADLY)
        before_end, before = max(before_end, end), key
    if there > last:
        told = f"goes on for {there - last} bytes behind its last tensor: readers refuse it"
        yield error("weights", "trailing-bytes", name, told, AGAIN)
