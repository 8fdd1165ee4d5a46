"""A TCP proxy on loopback in front of a server, with the faults that networks have."""

import contextlib
import socket
import threading
import time
from typing import Self


class Proxy:
    """Carries connections from `port` to the server; a context manager. Faults may be switched at any time.

    with Proxy("127.0.0.1", sshd.port) as proxy:
        proxy.cut_after(1_000_000)
        ...  # connect to proxy.host, proxy.port

    `bytes_to_server` counts what all connections sent.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.bytes_to_server = 0
        self._server = (host, port)
        self._listener: socket.socket | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._moving = threading.Event()
        self._moving.set()
        self._cut_at: int | None = None
        self._rate_bytes_s: float | None = None

    def __enter__(self) -> Self:
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self.resume()
        self.cut()

    def accept(self) -> None:
        """Listen, on the same port as before."""
        if self._listener is not None:
            return
        listener = socket.create_server((self.host, self.port), reuse_port=False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), name="proxy", daemon=True).start()

    def refuse(self) -> None:
        """Close the port to new connections; those that stand go on."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # Closing alone does not wake the thread that waits in accept().
            _shut(listener)

    def cut(self) -> None:
        """Close every connection now, on both sides."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _shut(end)

    def cut_after(self, count: int) -> None:
        """Let `count` more bytes through towards the server, then cut, once."""
        with self._lock:
            self._cut_at = self.bytes_to_server + count

    def stall(self) -> None:
        """Keep connections open and move nothing."""
        self._moving.clear()

    def resume(self) -> None:
        """Move bytes again."""
        self._moving.set()

    def limit(self, bytes_per_s: float | None) -> None:
        """Move no more than this in each direction; None for as fast as it goes."""
        self._rate_bytes_s = bytes_per_s

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server, timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.append((client, server))
            for source, target in ((client, server), (server, client)):
                threading.Thread(
                    target=self._pump, args=(source, target, source is client), name="proxy pump", daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, to_server: bool) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                self._moving.wait()
                if self._rate_bytes_s is not None:
                    time.sleep(len(chunk) / self._rate_bytes_s)
                allowed = self._allowed(len(chunk)) if to_server else len(chunk)
                target.sendall(chunk[:allowed])
                if allowed < len(chunk):
                    self.cut()
                    return
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _allowed(self, count: int) -> int:
        """How much of a chunk may pass before the cut."""
        with self._lock:
            if self._cut_at is not None and self.bytes_to_server + count > self._cut_at:
                count = self._cut_at - self.bytes_to_server
                self._cut_at = None
            self.bytes_to_server += count
            return count


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
