"""llama.cpp's .gguf: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""

import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Final, NamedTuple

from harness.models.doctor.findings import Examined, error, good, listed, several, sized
from harness.models.doctor.formats.mapped import mapped
from harness.models.doctor.tensors import amount

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
STRING, ARRAY = 8, 9
NUMBERS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
"""Types of metadata values."""

BLOCKS: Final = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 24: ("I8", 1, 1),
    25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 30: ("BF16", 1, 2),
}  # fmt: skip
"""Type of a tensor -> its name, and how many values take how many bytes."""

MOST: Final = 1_000_000
"""Entries and dimensions beyond this are damage."""

AGAIN: Final = "download or convert it again"


class _Tensor(NamedTuple):
    name: str
    values: int
    kind: int
    offset: int


class _DamagedError(Exception):
    """It does not go on as the format says."""


def check_gguf(path: Path) -> Examined[str]:
    """Check the header and that every tensor's bytes are there."""
    with mapped(path) as data:
        if bytes(data[:4]) != MAGIC:
            told = f"is no GGUF file: it begins with {bytes(data[:4])!r}"
            yield error("model", "not-gguf", path.name, told, AGAIN)
            return "GGUF, not readable"
        reader = _Reader(data)
        try:
            metadata, tensors = _header(reader)
        except (_DamagedError, struct.error) as failed:
            told = f"is cut off or damaged within its header: {failed}"
            yield error("model", "truncated", path.name, told, AGAIN)
            return "GGUF, not readable"
    size, begins = path.stat().st_size, reader.aligned(_alignment(metadata))
    lost = [tensor.name for tensor in tensors if begins + tensor.offset + _bytes(tensor) > size]
    if lost:
        told = f"is cut off at {sized(size)}, without {len(lost)} of {len(tensors)} tensors: {listed(lost)}"
        yield error("model", "truncated", path.name, told, AGAIN)
    else:
        yield good("model", path.name, f"{several(len(tensors), 'tensor')}, all there")
    family = metadata.get("general.architecture", "unknown family")
    kinds = sorted({BLOCKS[t.kind][0] if t.kind in BLOCKS else f"type {t.kind}" for t in tensors})
    return f"GGUF, {family}, {amount(sum(t.values for t in tensors), ' and '.join(kinds), size)}"


def _header(reader: "_Reader") -> tuple[dict[str, Any], list[_Tensor]]:
    reader.skip(4)
    version = reader.number("<I")
    if version not in VERSIONS:
        raise _DamagedError(f"its version is {version}, known are {VERSIONS[0]} and {VERSIONS[1]}")
    tensors, entries = reader.number("<Q"), reader.number("<Q")
    if max(tensors, entries) > MOST:
        raise _DamagedError(f"it says {tensors} tensors and {entries} entries")
    metadata = {reader.text(): reader.value(reader.number("<I")) for _ in range(entries)}
    return metadata, list(_tensors(reader, tensors))


def _tensors(reader: "_Reader", count: int) -> Iterator[_Tensor]:
    for _ in range(count):
        name, dimensions = reader.text(), reader.number("<I")
        if dimensions > 8:
            raise _DamagedError(f"{name} has {dimensions} dimensions")
        shape = [reader.number("<Q") for _ in range(dimensions)]
        yield _Tensor(name, prod(shape), reader.number("<I"), reader.number("<Q"))


def _alignment(metadata: dict[str, Any]) -> int:
    given = metadata.get("general.alignment")
    return given if isinstance(given, int) and given > 0 else 32


def _bytes(tensor: _Tensor) -> int:
    """What the tensor takes; 0 for types that are not in the table."""
    _, values, size = BLOCKS.get(tensor.kind, ("", 1, 0))
    return tensor.values // values * size


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def skip(self, count: int) -> None:
        self._at += count

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return value  # type: ignore[no-any-return]

    def text(self) -> str:
        length = self.number("<Q")
        begin = self._at
        if begin + length > len(self._data):
            raise _DamagedError(f"a name of {length} bytes at byte {begin} of {len(self._data)}")
        self._at += length
        return bytes(self._data[begin : self._at]).decode(errors="replace")

    def value(self, kind: int) -> Any:  # noqa: ANN401
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            inner, count = self.number("<I"), self.number("<Q")
            if count > MOST * 10 or inner == ARRAY:
                raise _DamagedError(f"a list of {count}")
            return [self.value(inner) for _ in range(count)]
        if kind not in NUMBERS:
            raise _DamagedError(f"type {kind} at byte {self._at}")
        return self.number(NUMBERS[kind])

    def aligned(self, alignment: int) -> int:
        """Where the tensors begin."""
        return -(-self._at // alignment) * alignment
