"""One connection to a phone that carries many streams at once: one thread reads, one writes.

Each side sends one WRTE of a stream, and the next once it was answered with OKAY; a stream that nobody reads
holds up no other. Source: AOSP, packages/modules/adb/protocol.txt.
"""

import itertools
import queue
import threading
from collections import deque
from collections.abc import Sequence

from devices.adb.pipe import Pipe
from devices.adb.stream import StreamLostError
from devices.adb.transport import OPEN_TIMEOUT_S, CommandRefusedError
from devices.adb.wire import CLSE, OKAY, OPEN, WRTE, Message, Wire

_LAST_WORDS_S = 1.0
"""How long closing may wait for what is on its way out."""


class Link:
    """Streams over a pipe on which hands were shaken. Any thread may open streams; each has its own."""

    def __init__(self, wire: Wire, pipe: Pipe) -> None:
        self.max_payload = wire.max_payload
        self._wire = wire
        self._pipe = pipe
        self._ids = itertools.count(1)
        self._streams: dict[int, LinkStream] = {}
        self._lock = threading.Lock()
        self._end: str | None = None
        self._outgoing: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for work, name in ((self._write, "adb writer"), (self._read, "adb reader"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def stands(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._end is None

    def open(self, service: bytes) -> "LinkStream":
        """A stream to a service of the phone; raises StreamLostError, CommandRefusedError."""
        with self._lock:
            if self._end is not None:
                raise StreamLostError(self._end)
            stream = LinkStream(self, next(self._ids))
            self._streams[stream.local] = stream
        self.post(Message(OPEN, stream.local, 0, (memoryview(service + b"\0"),)))
        try:
            stream.wait_until_open(OPEN_TIMEOUT_S)
        except BaseException:
            stream.close()
            raise
        return stream

    def post(self, message: Message) -> None:
        """Have a message sent; does not wait for it."""
        self._outgoing.put(message)

    def forget(self, stream: "LinkStream") -> None:
        """Hand nothing to it any more."""
        with self._lock:
            self._streams.pop(stream.local, None)

    def close(self) -> None:
        """Send what waits, hang up, end the threads; never raises."""
        writer, reader = self._threads
        self._outgoing.put(None)
        writer.join(_LAST_WORDS_S)
        self._lose("it was closed")
        writer.join()
        reader.join()
        self._pipe.close()

    def _write(self) -> None:
        try:
            while (message := self._outgoing.get()) is not None:
                self._wire.send(message)
        except OSError as error:
            self._lose(error.strerror or str(error))

    def _read(self) -> None:
        try:
            while True:
                self._hand_out(self._wire.receive())
        except OSError as error:
            self._lose(error.strerror or str(error))

    def _hand_out(self, message: Message) -> None:
        with self._lock:
            stream = self._streams.get(message.arg1)
        match message.command:
            case b"OKAY" if stream is not None:
                stream.acknowledged(message.arg0)
            case b"OKAY":
                # It began, or goes on, after we let go of it: end it there too.
                self.post(Message(CLSE, message.arg1, message.arg0))
            case b"WRTE" if stream is not None:
                stream.arrived(message.payload)
            case b"CLSE" if stream is not None:
                stream.ended("it ended without an exit code")
            case _:
                pass  # said before our CLSE reached the phone

    def _lose(self, reason: str) -> None:
        with self._lock:
            if self._end is None:
                self._end = reason
            streams = list(self._streams.values())
        self._pipe.break_off()
        self._outgoing.put(None)
        for stream in streams:
            stream.ended(reason)


class LinkStream:
    """A Stream that is one of many on a Link. The threads of the link tell it what happens."""

    def __init__(self, link: Link, local: int) -> None:
        self.local = local
        self.piece_bytes = link.max_payload
        self._link = link
        self._remote: int | None = None
        self._changed = threading.Condition()
        self._received: deque[memoryview] = deque()
        self._may_send = False
        self._end: str | None = None
        self._is_closed = False

    def wait_until_open(self, timeout_s: float) -> None:
        """Raises StreamLostError, and CommandRefusedError when the phone closed it at once."""
        with self._changed:
            self._changed.wait_for(lambda: self._remote is not None or self._end is not None, timeout_s)
        if self._remote is not None:
            return
        if self._end is not None and self._link.stands:
            raise CommandRefusedError("the phone closed the stream")
        raise StreamLostError(self._end or "timed out")

    def wait(self, *, to_send: bool, timeout_s: float) -> None:
        """See Stream.wait."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._received or self._end is not None or (to_send and self._may_send), timeout_s
            )

    def send(self, parts: Sequence[memoryview]) -> int:
        """See Stream.send."""
        with self._changed:
            if self._remote is None or not self._may_send or self._end is not None:
                return 0
            self._may_send = False
        self._link.post(Message(WRTE, self.local, self._remote, parts))
        return sum(map(len, parts))

    def receive(self) -> bytes | memoryview:
        """See Stream.receive. What is taken is acknowledged: the next is on its way meanwhile."""
        with self._changed:
            if not self._received:
                if self._end is not None:
                    raise StreamLostError(self._end)
                return b""
            data = self._received.popleft()
        if self._remote is not None and self._end is None:
            self._link.post(Message(OKAY, self.local, self._remote))
        return data

    def close(self) -> None:
        """See Stream.close: a CLSE for the phone's, or an answer to it."""
        if self._is_closed:
            return
        self._is_closed = True
        self._link.forget(self)
        if self._remote is not None:
            self._link.post(Message(CLSE, self.local, self._remote))

    def acknowledged(self, remote: int) -> None:
        """The phone sent OKAY: the stream is open, or the last WRTE was taken."""
        with self._changed:
            self._remote = remote
            self._may_send = True
            self._changed.notify_all()

    def arrived(self, payload: Sequence[memoryview]) -> None:
        """The phone sent WRTE."""
        with self._changed:
            self._received.extend(payload)
            self._changed.notify_all()

    def ended(self, reason: str) -> None:
        """The phone sent CLSE, or the connection is lost."""
        with self._changed:
            if self._end is None:
                self._end = reason
            self._changed.notify_all()
