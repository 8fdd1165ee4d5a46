"""A connection to an adb server that becomes a stream to a phone: AOSP calls it a smart socket.

adbutils has its own, which starts a server at the default port when ours is down, leaves a socket open when
it cannot connect, takes a short write for a whole one, and waits 10 ms at each close.
"""

import select
import socket
import subprocess
from collections.abc import Sequence

import adbutils

from devices.adb.stream import StreamLostError

_PIECE_BYTES = 256 * 1024
_PROBE_TIMEOUT_S = 1.0
"""More than a refusal takes; a server that is there may take longer to answer."""
_START_TIMEOUT_S = 20.0


class RequestFailedError(Exception):
    """The server answers and says no; the text is its reason."""


class NotAServerError(RequestFailedError):
    """What answers speaks something else."""

    def __init__(self) -> None:
        super().__init__("it does not speak as an adb server does")


def is_absent(place: tuple[str, int]) -> bool:
    """Whether nobody listens at `place`; not so of one that takes long, or that cannot be reached."""
    try:
        socket.create_connection(place, timeout=_PROBE_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def start(port: int) -> None:
    """Start the server that adbutils carries, on this computer; it stays. Raises OSError."""
    command = [adbutils.adb_path(), "-P", str(port), "start-server"]
    nothing = subprocess.DEVNULL  # the server would keep our ends open
    try:
        subprocess.run(
            command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=_START_TIMEOUT_S, check=True
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"it cannot be started: {error}") from error


def ask(place: tuple[str, int], request: str, *, timeout_s: float) -> str:
    """What the server itself answers; raises OSError, RequestFailedError."""
    with socket.create_connection(place, timeout=timeout_s) as connected:
        _request(connected, request.encode())
        return _read_text(connected)


def open_stream(place: tuple[str, int], serial: str, service: bytes, *, timeout_s: float) -> "SocketStream":
    """A stream to a service of a phone; raises OSError, RequestFailedError."""
    connected = socket.create_connection(place, timeout=timeout_s)
    try:
        _request(connected, b"host:transport:" + serial.encode())
        _request(connected, service)
    except BaseException:
        connected.close()
        raise
    return SocketStream(connected)


class SocketStream:
    """A Stream that is a socket which the server has connected to the service."""

    piece_bytes = _PIECE_BYTES

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.settimeout(0)
        self._takes = True

    def wait(self, *, to_send: bool, timeout_s: float) -> None:
        """See Stream.wait."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN | (select.POLLOUT if to_send and self._takes else 0))
        waiting.poll(timeout_s * 1000)

    def send(self, parts: Sequence[memoryview]) -> int:
        """See Stream.send."""
        if not self._takes:
            return 0
        try:
            return self._socket.sendmsg(parts)
        except BlockingIOError:
            return 0
        except OSError:
            # A command may end without having read all of it. What it said last is still to be received, and
            # where nothing is, receiving tells why.
            self._takes = False
            return 0

    def receive(self) -> bytes:
        """See Stream.receive."""
        try:
            received = self._socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise StreamLostError(error.strerror or str(error)) from error
        if not received:
            raise StreamLostError("it ended without an exit code")
        return received

    def close(self) -> None:
        """See Stream.close."""
        self._socket.close()


def _request(connected: socket.socket, request: bytes) -> None:
    connected.sendall(b"%04x" % len(request) + request)
    status = _read(connected, 4)
    if status == b"FAIL":
        raise RequestFailedError(_read_text(connected))
    if status != b"OKAY":
        raise NotAServerError


def _read_text(connected: socket.socket) -> str:
    length = _read(connected, 4)
    try:
        return _read(connected, int(length, 16)).decode(errors="replace")
    except ValueError as error:
        raise NotAServerError from error


def _read(connected: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connected.recv(count - len(data))
        if not piece:
            raise ConnectionError("the adb server hung up")
        data += piece
    return data
