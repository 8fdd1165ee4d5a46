"""What can go wrong between a phone and a computer, switched by tests at any time from any thread."""

import asyncio
import socket
import time

WHOLE = 1 << 20
SEGMENT_BYTES = 1400
BUFFER_BYTES = 32 * 1024
"""Smaller ones make TCP itself stand still for fifths of a second."""


_SHORTEST_PAUSE_S = 0.002
"""Shorter ones take longer than they should."""


class Faults:
    """The faults of one device; a new one has none.

    `offline`: connections are taken and nothing is ever answered. `stalled`: all stands still, nothing is
    closed. Those with a count happen once and are off again.
    """

    def __init__(self) -> None:
        self.offline = False
        self.stalled = False
        self.piece_bytes = WHOLE
        self._listener: socket.socket | None = None
        self._pause_s = 0.0
        self._bytes_per_s = 0.0
        self._busy_until = 0.0
        self._until_drop: dict[str, int | None] = {"received": None, "sent": None}
        self._no_space_after: int | None = None
        self._output_ends_after: int | None = None
        self._wants_tls = False

    def clear(self) -> None:
        """Everything works again."""
        listener = self._listener
        self.__dict__.update(Faults().__dict__)
        self.listen(listener)

    def drop_after(self, *, received: int | None = None, sent: int | None = None) -> None:
        """Cut the connection when the device has taken, or given, so many more bytes."""
        self._until_drop = {"received": received, "sent": sent}

    def slow_link(self, *, bytes_per_s: float, piece_bytes: int = 1024) -> None:
        """Move no more than `piece_bytes` at a time, in small segments on connections made from now on.

        A client's socket then takes only a part of what it is given at once.
        """
        self.piece_bytes = piece_bytes
        self._pause_s = piece_bytes / bytes_per_s
        self.listen(self._listener)

    def limit_speed(self, bytes_per_s: float) -> None:
        """Move no more than that in a second, both ways together, as a cable does."""
        self._bytes_per_s = bytes_per_s

    def no_space_after(self, count: int) -> None:
        """The disk is full once the next sync session has written so many bytes."""
        self._no_space_after = count

    def truncate_output_after(self, count: int) -> None:
        """The next shell or exec service ends after so many bytes, without an exit code."""
        self._output_ends_after = count

    def want_tls(self) -> None:
        """The next connection is asked for TLS, as a phone that was paired over Wi-Fi does; none is there."""
        self._wants_tls = True

    def take_tls(self) -> bool:
        """For the connection that begins now."""
        wanted, self._wants_tls = self._wants_tls, False
        return wanted

    def take_no_space(self) -> int | None:
        """For the sync session that begins now."""
        count, self._no_space_after = self._no_space_after, None
        return count

    def take_output_end(self) -> int | None:
        """For the shell that begins now."""
        count, self._output_ends_after = self._output_ends_after, None
        return count

    def listen(self, listener: socket.socket | None) -> None:
        """Connections come from this socket now, or from none."""
        self._listener = listener
        if listener is None:
            return
        segment = SEGMENT_BYTES if self._pause_s else 0  # 0 is the network's own
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)

    def shape(self, sock: socket.socket) -> None:
        """Give a new connection the buffer of a slow link."""
        if self._pause_s:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)

    async def passing(self, sock: socket.socket, *, received: int = 0, sent: int = 0) -> None:
        """Bytes pass: may take its time, or cut the connection and raise ConnectionError."""
        while self.stalled:
            await asyncio.sleep(0.02)
        if self._pause_s:
            await asyncio.sleep(self._pause_s * (received + sent) / self.piece_bytes)
        if self._bytes_per_s:
            now = time.monotonic()
            self._busy_until = max(now, self._busy_until) + (received + sent) / self._bytes_per_s
            if self._busy_until - now > _SHORTEST_PAUSE_S:
                await asyncio.sleep(self._busy_until - now)
        for direction, count in (("received", received), ("sent", sent)):
            left = self._until_drop[direction]
            if left is None or count == 0:
                continue
            self._until_drop[direction] = left - count
            if left - count <= 0:
                self._until_drop[direction] = None
                sock.shutdown(socket.SHUT_RDWR)
                raise ConnectionError("cut by a fault")
