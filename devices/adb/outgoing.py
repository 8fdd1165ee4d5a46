"""What waits to be sent over a stream, in pieces as large as the stream likes them; nothing is copied."""

from collections.abc import Iterator, Sequence

_MOST_PARTS = 512
"""Systems take 1,024 at once."""
_SMALL_BYTES = 4096
"""What is smaller may be all there is for a while: it is not kept back for more to come."""


class Outgoing:
    """Groups of parts from an iterator, taken from it when there is room for them."""

    def __init__(self, groups: Iterator[Sequence[bytes | memoryview]], piece_bytes: int) -> None:
        self._source = groups
        self._piece_bytes = piece_bytes
        self._parts: list[memoryview] = []
        self._size = 0
        self._was_small = False

    def piece(self) -> list[memoryview]:
        """What to send next; empty after the last. Waits for the source only when there is nothing else."""
        while self._size < self._piece_bytes and len(self._parts) < _MOST_PARTS:
            if self._parts and self._was_small:
                break
            group = next(self._source, None)
            if group is None:
                break
            size = sum(map(len, group))
            self._parts.extend(map(memoryview, group))
            self._size += size
            self._was_small = size < _SMALL_BYTES
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
