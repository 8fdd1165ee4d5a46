"""The services that run a command: `shell`, with and without the shell protocol, and `exec` (SERVICES.TXT).

With the protocol (`shell,v2`) both sides send packets: a byte that names the stream, a length, the bytes.
Without it stderr is mixed into stdout and nobody learns the exit code. A terminal is never given: `pty` is
taken for `raw`. When a client hangs up, the command's input ends, and with the protocol the shell alone gets
SIGHUP, as in AOSP's shell_service.cpp.
"""

import os
import selectors
import signal
import socket
import struct
import subprocess
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
PACKET = struct.Struct("<BI")
CHUNK_BYTES = 256 * 1024
SOCKET_BYTES = 1 << 20
ENVIRONMENT = {
    "ANDROID_DATA": "/data",
    "ANDROID_ROOT": "/system",
    "EXTERNAL_STORAGE": "/sdcard",
    "HOME": "/",
    "LOGNAME": "shell",
    "SHELL": "/bin/sh",
    "TMPDIR": "/data/local/tmp",
    "USER": "shell",
}


def serve(client: socket.socket, service: str, path: str) -> None:
    """Run the service's command, with `path` for PATH, to its end or until the client hangs up."""
    name, _, command = service.partition(":")
    options = name.split(",")
    terminal = next((word[5:] for word in options if word.startswith("TERM=")), "dumb")
    session = Session(client, protocol="v2" in options)
    session.run(command, {**ENVIRONMENT, "PATH": path, "TERM": terminal})


class Session:
    """One command and the sockets it has for its streams, as adbd gives them."""

    def __init__(self, client: socket.socket, *, protocol: bool) -> None:
        self._client = client
        self._protocol = protocol
        self._ours, self._theirs = socket.socketpair()
        self._our_errors, self._their_errors = socket.socketpair()
        for end in (self._ours, self._theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self._selector = selectors.DefaultSelector()
        self._received = memoryview(bytearray(CHUNK_BYTES))
        self._header = b""
        self._kind = STDIN
        self._left = 0
        """Bytes of the packet that are still to come."""
        self._to_stdin: deque[memoryview] = deque()
        """Parts of what was received last: no more is, while there are any."""
        self._is_writing = False
        self._stdin_ends = False
        self._open_outputs = {self._ours: STDOUT}
        if protocol:
            self._open_outputs[self._our_errors] = STDERR

    def run(self, command: str, environment: Mapping[str, str]) -> None:
        """Returns when all has been said."""
        child = subprocess.Popen(
            # Not one word: it would be the shell's standard input that is read.
            ["/system/bin/sh", *(("-c", os.fsencode(command)) if command else ())],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._their_errors if self._protocol else self._theirs,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
        self._theirs.close()
        self._their_errors.close()
        if self._pass_bytes():
            code = child.wait()
            if self._protocol:
                self._packet(EXIT, bytes([code if code >= 0 else 128 - code]))
            return
        if self._protocol:
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGHUP)
        self._ours.close()
        self._our_errors.close()
        child.wait()

    def _pass_bytes(self) -> bool:
        """True when the command has closed its outputs, False when the client has gone."""
        self._selector.register(self._client, selectors.EVENT_READ)
        for output in self._open_outputs:
            output.setblocking(False)
            self._selector.register(output, selectors.EVENT_READ)
        while self._open_outputs:
            for key, events in self._selector.select():
                if key.fileobj is self._client:
                    count = self._client.recv_into(self._received)
                    if count == 0:
                        return False
                    self._take(self._received[:count])
                    self._feed()
                    continue
                if events & selectors.EVENT_WRITE:
                    self._feed()
                if events & selectors.EVENT_READ:
                    try:
                        self._give(key.fileobj)
                    except BrokenPipeError:
                        return False
        return True

    def _take(self, data: memoryview) -> None:
        """Sort out what is for the command."""
        if not self._protocol:
            self._to_stdin.append(data)
            return
        while data:
            if not self._left:
                missing = PACKET.size - len(self._header)
                self._header += data[:missing]
                data = data[missing:]
                if len(self._header) < PACKET.size:
                    return
                self._kind, self._left = PACKET.unpack(self._header)
                self._header = b""
                self._stdin_ends |= self._kind == CLOSE_STDIN
                continue
            content, data = data[: self._left], data[self._left :]
            self._left -= len(content)
            if self._kind == STDIN:
                self._to_stdin.append(content)

    def _feed(self) -> None:
        """Hand on what the command takes now; the client waits while some is left."""
        try:
            while self._to_stdin:
                sent = self._ours.send(self._to_stdin[0])
                self._to_stdin[0] = self._to_stdin[0][sent:]
                if not self._to_stdin[0]:
                    self._to_stdin.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._to_stdin.clear()  # the command reads no more
        self._wait_for_command(bool(self._to_stdin) and self._ours in self._open_outputs)
        if not self._to_stdin and self._stdin_ends:
            self._end_stdin()

    def _wait_for_command(self, is_writing: bool) -> None:
        """Whether the command has to take some before the client is read again."""
        if is_writing == self._is_writing:
            return
        self._is_writing = is_writing
        if is_writing:
            self._selector.unregister(self._client)
            self._selector.modify(self._ours, selectors.EVENT_READ | selectors.EVENT_WRITE)
        else:
            self._selector.register(self._client, selectors.EVENT_READ)
            if self._ours in self._open_outputs:
                self._selector.modify(self._ours, selectors.EVENT_READ)

    def _end_stdin(self) -> None:
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    def _give(self, output: socket.socket) -> None:
        try:
            data = output.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:  # it ended with some of its input unread
            data = b""
        if not data:
            self._selector.unregister(output)
            del self._open_outputs[output]
            if output is self._ours and self._is_writing:
                self._to_stdin.clear()
                self._wait_for_command(False)
        elif self._protocol:
            self._packet(self._open_outputs[output], data)
        else:
            self._client.sendall(data)

    def _packet(self, kind: int, data: bytes) -> None:
        self._client.sendall(PACKET.pack(kind, len(data)) + data)
