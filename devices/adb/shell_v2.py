"""The `shell,v2` protocol over a stream: stdin, stdout, stderr and the exit code, each in packets.

Source: AOSP, packages/modules/adb/shell_protocol.h. A packet is an id byte, a little-endian length of four
bytes, and so much data.
"""

import struct
import time
from collections.abc import Callable, Iterable, Iterator

from devices.adb.outgoing import Outgoing
from devices.adb.stream import Stream

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
_HEADER = struct.Struct("<BI")
_PACKET_BYTES = 1 << 20


class ShellStream:
    """One command over a stream; `exit_code` is None until the device has told it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._header = b""
        self._kind = STDOUT
        self._left = 0
        self.exit_code: int | None = None

    def talk(self, stdin: Iterable[bytes], on_data: Callable[[int, bytes], None], *, deadline: float) -> bool:
        """Send `stdin` to its end and hand out data until the exit code came; False when time is over.

        A command that ends without reading its input is no error. Raises StreamLostError.
        """
        unsent = Outgoing(_packets(stdin), self._stream.piece_bytes)
        return self._exchange(unsent, on_data, deadline, lambda: False)

    def talk_open(
        self,
        on_data: Callable[[int, bytes], None],
        *,
        deadline: float,
        until: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Hand out data until the exit code came or `until` holds, with the input left open."""
        return self._exchange(Outgoing(iter(()), 0), on_data, deadline, until)

    def finish(self, *, deadline: float) -> bool:
        """Let the command see the end of its input, and its output go, until the exit code came."""
        return self.talk((), lambda _kind, _data: None, deadline=deadline)

    def has_ended(self) -> bool:
        """Whether the exit code is among what has come; the rest of that goes. Raises StreamLostError."""
        if self.exit_code is None:
            self._read(lambda _kind, _data: None)
        return self.exit_code is not None

    def _exchange(
        self,
        unsent: Outgoing,
        on_data: Callable[[int, bytes], None],
        deadline: float,
        until: Callable[[], bool],
    ) -> bool:
        while self.exit_code is None and not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            piece = unsent.piece()
            self._stream.wait(to_send=bool(piece), timeout_s=left)
            self._read(on_data)
            if piece and self.exit_code is None:
                unsent.drop(self._stream.send(piece))
        return True

    def _read(self, on_data: Callable[[int, bytes], None]) -> None:
        """Hand out what has come, also of a packet that has not come to its end."""
        unread = memoryview(self._stream.receive())
        while unread and self.exit_code is None:
            if not self._left:
                missing = _HEADER.size - len(self._header)
                self._header += bytes(unread[:missing])
                unread = unread[missing:]
                if len(self._header) < _HEADER.size:
                    return
                self._kind, self._left = _HEADER.unpack(self._header)
                self._header = b""
                continue
            data, unread = bytes(unread[: self._left]), unread[self._left :]
            self._left -= len(data)
            if self._kind == EXIT:
                self.exit_code = data[0]
            else:
                on_data(self._kind, data)


def _packets(stdin: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    """Header and data of each packet of the input, then of the one that ends it."""
    for piece in stdin:
        for begin in range(0, len(piece), _PACKET_BYTES):
            data = piece[begin : begin + _PACKET_BYTES] if len(piece) > _PACKET_BYTES else piece
            yield _HEADER.pack(STDIN, len(data)), data
    yield (_HEADER.pack(CLOSE_STDIN, 0),)
