"""The `shell,v2` protocol over a stream: stdin, stdout, stderr and the exit code, each in packets.

Source: AOSP, packages/modules/adb/shell_protocol.h. A packet is an id byte, a little-endian length of four
bytes, and so much data.
"""

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
_HEADER = struct.Struct("<BI")
_CHUNK_BYTES = 64 * 1024


class StreamLostError(Exception):
    """The stream ended without an exit code: the device or the server between us went away."""


class ShellStream:
    """One command over a connected socket; `exit_code` is None until the device has told it."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._stream.settimeout(0)
        self._unread = bytearray()
        self.exit_code: int | None = None

    def talk(
        self, stdin: Iterable[bytes], on_packet: Callable[[int, bytes], None], *, deadline: float
    ) -> bool:
        """Send `stdin` to its end and hand out packets until the exit code came; False when time is over.

        A command that ends without reading its input is no error. Raises StreamLostError.
        """
        return self._exchange(_packets(stdin), on_packet, deadline, lambda: False)

    def talk_open(
        self,
        on_packet: Callable[[int, bytes], None],
        *,
        deadline: float,
        until: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Hand out packets until the exit code came or `until` holds, with the input left open."""
        return self._exchange(iter(()), on_packet, deadline, until)

    def _exchange(
        self,
        waiting: Iterator[bytes],
        on_packet: Callable[[int, bytes], None],
        deadline: float,
        until: Callable[[], bool],
    ) -> bool:
        unsent = memoryview(b"")
        feeding = True
        while self.exit_code is None and not until():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if feeding and not unsent:
                piece = next(waiting, None)
                feeding = piece is not None
                unsent = memoryview(piece or b"")
            readable, writable, _ = select.select(
                [self._stream], [self._stream] if unsent else [], [], min(left, 1.0)
            )
            if readable:
                self._read(on_packet)
            if writable and self.exit_code is None:
                unsent = unsent[self._write(unsent) :]
        return True

    def close_stdin(self) -> None:
        """Let the command see the end of its input."""
        self._stream.settimeout(2.0)
        self._stream.sendall(_HEADER.pack(CLOSE_STDIN, 0))
        self._stream.settimeout(0)

    def _write(self, data: memoryview) -> int:
        try:
            return self._stream.send(data[:_CHUNK_BYTES])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise StreamLostError(str(error)) from error

    def _read(self, on_packet: Callable[[int, bytes], None]) -> None:
        try:
            chunk = self._stream.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            raise StreamLostError(str(error)) from error
        if not chunk:
            raise StreamLostError("it ended without an exit code")
        self._unread += chunk
        while len(self._unread) >= _HEADER.size:
            kind, size = _HEADER.unpack_from(self._unread)
            if len(self._unread) < _HEADER.size + size:
                return
            data = bytes(self._unread[_HEADER.size : _HEADER.size + size])
            del self._unread[: _HEADER.size + size]
            if kind == EXIT:
                self.exit_code = data[0] if data else 0
                return
            on_packet(kind, data)


def _packets(stdin: Iterable[bytes]) -> Iterator[bytes]:
    """Packets of the input, then the one that ends it."""
    for piece in stdin:
        for begin in range(0, len(piece), _CHUNK_BYTES):
            data = piece[begin : begin + _CHUNK_BYTES]
            yield _HEADER.pack(STDIN, len(data)) + data
    yield _HEADER.pack(CLOSE_STDIN, 0)
