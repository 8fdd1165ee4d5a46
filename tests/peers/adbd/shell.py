"""The services that run a command: `shell`, with and without the shell protocol, and `exec` (SERVICES.TXT).

With the protocol (`shell,v2`) both sides send packets: a byte that names the stream, a length, the bytes.
Without it stderr is mixed into stdout and nobody learns the exit code. A terminal is never given: `pty` is
taken for `raw`. When a client hangs up, the shell alone gets SIGHUP, as in AOSP's shell_service.cpp.
"""

import os
import selectors
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
PACKET = struct.Struct("<BI")
CHUNK_BYTES = 64 * 1024
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
        self._selector = selectors.DefaultSelector()
        self._received = bytearray()
        self._to_stdin = bytearray()
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
            self._want_stdin()
            for key, events in self._selector.select():
                if key.fileobj is self._client:
                    data = self._client.recv(CHUNK_BYTES)
                    if not data:
                        return False
                    self._take(data)
                    continue
                if events & selectors.EVENT_WRITE:
                    self._feed()
                if events & selectors.EVENT_READ:
                    try:
                        self._give(key.fileobj)
                    except BrokenPipeError:
                        return False
        return True

    def _want_stdin(self) -> None:
        """Take from the client only what the command will take."""
        if self._ours in self._open_outputs:
            writing = selectors.EVENT_WRITE if self._to_stdin else 0
            self._selector.modify(self._ours, selectors.EVENT_READ | writing)
        elif self._to_stdin:
            self._to_stdin.clear()
        watched = self._client in {key.fileobj for key in self._selector.get_map().values()}
        if self._to_stdin and watched:
            self._selector.unregister(self._client)
        elif not self._to_stdin and not watched:
            self._selector.register(self._client, selectors.EVENT_READ)

    def _take(self, data: bytes) -> None:
        if not self._protocol:
            self._to_stdin += data
            return
        self._received += data
        while len(self._received) >= PACKET.size:
            kind, length = PACKET.unpack_from(self._received)
            end = PACKET.size + length
            if len(self._received) < end:
                return
            if kind == STDIN:
                self._to_stdin += self._received[PACKET.size : end]
            elif kind == CLOSE_STDIN:
                self._stdin_ends = True
                if not self._to_stdin:
                    self._end_stdin()
            del self._received[:end]

    def _feed(self) -> None:
        try:
            sent = self._ours.send(self._to_stdin)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._to_stdin)  # the command reads no more
        del self._to_stdin[:sent]
        if not self._to_stdin and self._stdin_ends:
            self._end_stdin()

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
        elif self._protocol:
            self._packet(self._open_outputs[output], data)
        else:
            self._client.sendall(data)

    def _packet(self, kind: int, data: bytes) -> None:
        self._client.sendall(PACKET.pack(kind, len(data)) + data)
