"""What carries adb's messages to a phone: a TCP connection that sends everything and notices its end.

adb-shell's own takes a short write for a whole one, and a closed connection for one that is silent.
"""

import socket
import sys
from collections.abc import Sequence
from typing import Protocol

SILENCE_S = 30
"""After so long without any sign of life from the other machine the connection counts as lost."""
_PROBE_S = 10


class Pipe(Protocol):
    """Carries bytes. One thread may read while another writes. Errors are OSError."""

    def read_into(self, buffer: memoryview) -> None:
        """Fill the buffer; ConnectionError at the end."""
        ...

    def write(self, header: bytes, payload: Sequence[memoryview]) -> None:
        """Send one message, all of it."""
        ...

    def limit(self, seconds: float | None) -> None:
        """How long one step of reading or writing may take from now on: TimeoutError after that."""
        ...

    def break_off(self) -> None:
        """Have the threads that read and write end with an error; never raises."""
        ...

    def close(self) -> None:
        """Give everything back once no thread uses it; never raises."""
        ...


class TcpPipe:
    """A connected socket. A phone that is silent is asked by TCP itself whether it is there."""

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":
            for option, value in (
                (socket.TCP_KEEPIDLE, _PROBE_S),
                (socket.TCP_KEEPINTVL, _PROBE_S // 2),
                (socket.TCP_KEEPCNT, (SILENCE_S - _PROBE_S) // (_PROBE_S // 2)),
                # Bytes that were sent and that nobody confirms.
                (socket.TCP_USER_TIMEOUT, SILENCE_S * 1000),
            ):
                self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def read_into(self, buffer: memoryview) -> None:
        """See Pipe.read_into."""
        while buffer:
            count = self._socket.recv_into(buffer, 0, socket.MSG_WAITALL)
            if count == 0:
                raise ConnectionError("the phone hung up")
            buffer = buffer[count:]

    def write(self, header: bytes, payload: Sequence[memoryview]) -> None:
        """See Pipe.write."""
        parts = [memoryview(header), *payload]
        while parts:
            sent = self._socket.sendmsg(parts)
            while parts and sent >= len(parts[0]):
                sent -= len(parts.pop(0))
            if sent:
                parts[0] = parts[0][sent:]

    def limit(self, seconds: float | None) -> None:
        """See Pipe.limit."""
        self._socket.settimeout(seconds)

    def break_off(self) -> None:
        """See Pipe.break_off."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was first

    def close(self) -> None:
        """See Pipe.close."""
        self._socket.close()
