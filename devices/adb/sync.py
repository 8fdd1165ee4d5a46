"""The `sync:` service over a stream: the content of one file, there or back.

Source: AOSP, packages/modules/adb/SYNC.TXT and file_sync_protocol.h. A request is a word of four letters, a
little-endian length, and so much data. Nothing is checked: it says OKAY, or FAIL and why.
"""

import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from devices.adb.outgoing import Outgoing
from devices.adb.stream import Stream, StreamLostError

_HEADER = struct.Struct("<4sI")
_DATA_BYTES = 64 * 1024
"""More at once is refused."""
_MODE = 0o100644


class SyncRefusedError(Exception):
    """The phone says no; the text is its reason."""


class SyncTimeoutError(Exception):
    """The time is over."""


def send(stream: Stream, content: Iterable[bytes], path: bytes, *, deadline: float) -> None:
    """Write `content` to a file, anew; raises SyncRefusedError, SyncTimeoutError, StreamLostError.

    adbd opens the file once and removes what is at `path` when it cannot finish: a file that was renamed
    meanwhile goes on growing under its new name, and stays.
    """
    unsent = Outgoing(_sending(content, path), stream.piece_bytes)
    answer = _Answer(stream)
    while not answer.is_whole:
        piece = unsent.piece()
        _wait(stream, to_send=bool(piece), deadline=deadline)
        answer.read()
        if piece and not answer.is_whole:
            unsent.drop(stream.send(piece))
    _quit(stream)


def receive(stream: Stream, path: bytes, sink: Callable[[memoryview], object], *, deadline: float) -> None:
    """Hand out a file's content; raises SyncRefusedError, SyncTimeoutError, StreamLostError."""
    unsent = Outgoing(iter(((_HEADER.pack(b"RECV", len(path)) + path,),)), stream.piece_bytes)
    while piece := unsent.piece():
        _wait(stream, to_send=True, deadline=deadline)
        unsent.drop(stream.send(piece))
    header, left = b"", 0
    while True:
        _wait(stream, to_send=False, deadline=deadline)
        unread = memoryview(stream.receive())
        while unread:
            if left:
                data, unread = unread[:left], unread[left:]
                left -= len(data)
                sink(data)
                continue
            missing = _HEADER.size - len(header)
            header, unread = header + bytes(unread[:missing]), unread[missing:]
            if len(header) < _HEADER.size:
                break
            word, length = _HEADER.unpack(header)
            if word == b"DONE":
                _quit(stream)
                return
            if word != b"DATA":
                answer = _Answer(stream, header + bytes(unread))
                while not answer.is_whole:
                    _wait(stream, to_send=False, deadline=deadline)
                    answer.read()
            header, left = b"", length


class _Answer:
    """OKAY, or FAIL with its reason, which may come at any time and in pieces."""

    def __init__(self, stream: Stream, begun: bytes = b"") -> None:
        self._stream = stream
        self._said = begun
        self.is_whole = False
        self._judge()

    def read(self) -> None:
        """Take what has come since."""
        self._said += bytes(self._stream.receive())
        self._judge()

    def _judge(self) -> None:
        if len(self._said) < _HEADER.size:
            return
        word, length = _HEADER.unpack_from(self._said)
        text = self._said[_HEADER.size :]
        if word == b"FAIL" and len(text) < length:
            return
        if word != b"OKAY":
            told = text[:length].decode(errors="replace") if word == b"FAIL" else "it answers no sync request"
            raise SyncRefusedError(told)
        self.is_whole = True


def _sending(content: Iterable[bytes], path: bytes) -> Iterator[tuple[bytes | memoryview, ...]]:
    request = path + b",%d" % _MODE
    yield (_HEADER.pack(b"SEND", len(request)) + request,)
    for chunk in content:
        whole = memoryview(chunk)
        for begin in range(0, len(whole), _DATA_BYTES):
            data = whole[begin : begin + _DATA_BYTES]
            yield _HEADER.pack(b"DATA", len(data)), data
    yield (_HEADER.pack(b"DONE", int(time.time())),)


def _wait(stream: Stream, *, to_send: bool, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise SyncTimeoutError
    stream.wait(to_send=to_send, timeout_s=left)


def _quit(stream: Stream) -> None:
    with suppress(StreamLostError):
        stream.send([memoryview(_HEADER.pack(b"QUIT", 0))])
