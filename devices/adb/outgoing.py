"""What waits to be sent over a stream, in pieces as large as the stream likes them; nothing is copied."""

from collections.abc import Iterator

_MOST_PARTS = 512
"""Systems take 1,024 at once."""


class Outgoing:
    """Parts from an iterator, taken from it when there is room for them."""

    def __init__(self, parts: Iterator[bytes | memoryview], piece_bytes: int) -> None:
        self._source = parts
        self._piece_bytes = piece_bytes
        self._parts: list[memoryview] = []
        self._size = 0

    def piece(self) -> list[memoryview]:
        """What to send next; empty after the last."""
        while self._size < self._piece_bytes and len(self._parts) < _MOST_PARTS:
            part = next(self._source, None)
            if part is None:
                break
            self._parts.append(memoryview(part))
            self._size += len(part)
        room = self._piece_bytes
        piece: list[memoryview] = []
        for part in self._parts:
            if room <= 0:
                break
            piece.append(part[:room])
            room -= len(part)
        return piece

    def drop(self, count: int) -> None:
        """So much of it was sent."""
        self._size -= count
        while count:
            first = self._parts[0]
            if count < len(first):
                self._parts[0] = first[count:]
                return
            count -= len(first)
            del self._parts[0]
