"""The wire format of protobuf, enough to see whether a file is whole and to count what is in it.

https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

VARINT: Final = 0
EIGHT_BYTES: Final = 1
LENGTH: Final = 2
FOUR_BYTES: Final = 5


class Field(NamedTuple):
    """One field of a message: a number, or the bytes `begin` to `end` of what was read."""

    number: int
    value: int
    begin: int
    end: int


class MalformedError(Exception):
    """It is no protobuf message, or only the beginning of one; `cut` tells which."""

    def __init__(self, message: str, *, cut: bool) -> None:
        super().__init__(message)
        self.cut = cut


def fields(data: memoryview, begin: int = 0, end: int | None = None) -> Iterator[Field]:
    """Fields of the message in `data[begin:end]`, in order; `value` is 0 for those that are bytes.

    Raises MalformedError where the message does not go on as one.
    """
    stop = len(data) if end is None else end
    at = begin
    while at < stop:
        key, at = _varint(data, at, stop)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise MalformedError(f"byte {at} begins no field", cut=False)
        value, first = 0, at
        if wire == VARINT:
            value, at = _varint(data, at, stop)
        elif wire == LENGTH:
            size, first = _varint(data, at, stop)
            at = first + size
        elif wire in {EIGHT_BYTES, FOUR_BYTES}:
            at += 8 if wire == EIGHT_BYTES else 4
        else:
            raise MalformedError(f"byte {at} has wire type {wire}", cut=False)
        if at > stop:
            raise MalformedError(f"field {number} goes on to byte {at} of {stop}", cut=True)
        yield Field(number, value, first, at)


def _varint(data: memoryview, at: int, stop: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= stop:
            raise MalformedError(f"it ends at byte {stop}, within a number", cut=True)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise MalformedError(f"byte {at} ends no number", cut=False)
