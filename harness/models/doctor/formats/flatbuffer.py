"""FlatBuffers without a schema: tables, vectors and strings, checked against the end of the file.

https://flatbuffers.dev/internals/
"""

import struct
from typing import Final

OFFSET_BYTES: Final = 4


class MalformedError(Exception):
    """It is no FlatBuffer, or one that ends too early; `cut` tells which."""

    def __init__(self, message: str, *, cut: bool = False) -> None:
        super().__init__(message)
        self.cut = cut


class Table:
    """The table at byte `at` of `data`; fields are numbered as the schema lists them."""

    def __init__(self, data: memoryview, at: int) -> None:
        self.data, self.at = data, at
        vtable = at - _signed(data, at)
        if not 0 <= vtable < len(data) - 4:
            raise MalformedError(f"the table at byte {at} has its fields at {vtable}")
        length = _unsigned(data, vtable, "<H")
        if length < 4 or length % 2 or vtable + length > len(data):
            raise MalformedError(f"the table at byte {at} has no fields that make sense")
        self._fields = [_unsigned(data, vtable + step, "<H") for step in range(4, length, 2)]

    def field(self, number: int) -> int | None:
        """Where field `number` lies; None when it has its default."""
        offset = self._fields[number] if number < len(self._fields) else 0
        return self.at + offset if offset else None

    def byte(self, number: int) -> int:
        """A field of one byte; 0 where it has its default."""
        place = self.field(number)
        return 0 if place is None else _unsigned(self.data, place, "<B")

    def table(self, number: int) -> "Table | None":
        """The table that a field refers to."""
        place = self.field(number)
        return None if place is None else Table(self.data, _followed(self.data, place))

    def tables(self, number: int) -> "list[Table]":
        """A vector of tables."""
        place = self.field(number)
        if place is None:
            return []
        first, count = _vector(self.data, place, OFFSET_BYTES)
        return [
            Table(self.data, _followed(self.data, first + OFFSET_BYTES * index)) for index in range(count)
        ]

    def text(self, number: int) -> str:
        """A string, empty when there is none."""
        place = self.field(number)
        return "" if place is None else _text(self.data, place)

    def texts(self, number: int) -> list[str]:
        """A vector of strings."""
        place = self.field(number)
        if place is None:
            return []
        first, count = _vector(self.data, place, OFFSET_BYTES)
        return [_text(self.data, first + OFFSET_BYTES * index) for index in range(count)]

    def vector(self, number: int, width: int) -> int:
        """How many elements of `width` bytes a vector has; all of them are there."""
        place = self.field(number)
        return 0 if place is None else _vector(self.data, place, width)[1]


def root_of(data: memoryview) -> Table:
    """The table that the file begins with; raises MalformedError when it cannot be one."""
    return Table(data, _followed(data, 0))


def _followed(data: memoryview, place: int) -> int:
    target = place + _unsigned(data, place, "<I")
    if target + OFFSET_BYTES > len(data):
        raise MalformedError(f"byte {place} refers to byte {target} of {len(data)}", cut=True)
    return target


def _vector(data: memoryview, place: int, width: int) -> tuple[int, int]:
    begin = _followed(data, place)
    count = _unsigned(data, begin, "<I")
    end = begin + OFFSET_BYTES + count * width
    if end > len(data):
        raise MalformedError(f"a list of {count} goes on to byte {end} of {len(data)}", cut=True)
    return begin + OFFSET_BYTES, count


def _text(data: memoryview, place: int) -> str:
    first, count = _vector(data, place, 1)
    return bytes(data[first : first + count]).decode(errors="replace")


def _signed(data: memoryview, at: int) -> int:
    return _unsigned(data, at, "<i")


def _unsigned(data: memoryview, at: int, form: str) -> int:
    try:
        (value,) = struct.unpack_from(form, data, at)
    except struct.error as failed:
        raise MalformedError(f"it ends before byte {at + struct.calcsize(form)}", cut=True) from failed
    return int(value)
