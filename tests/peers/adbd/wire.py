"""The messages of adb and the socket that carries them (AOSP packages/modules/adb, protocol.txt)."""

import asyncio
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from .faults import Faults

VERSION_CHECKSUMS = 0x01000000
"""Every payload carries the sum of its bytes; Android 8 and older, and adb-shell."""
VERSION = 0x01000001
"""Nobody computes checksums any more."""
MAX_PAYLOAD = 1 << 20
HEADER = struct.Struct("<4s5I")


class WireError(Exception):
    """The other side sent what the protocol does not allow."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message: `CNXN`, `AUTH`, `OPEN`, `OKAY`, `WRTE` or `CLSE`, two arguments, a payload."""

    command: bytes
    arg0: int
    arg1: int
    data: bytes | bytearray | memoryview = b""


@dataclass
class Traffic:
    """What went over all connections of a device, counted as it passes."""

    bytes_received: int = 0
    bytes_sent: int = 0
    connections: int = 0
    received: Counter[str] = field(default_factory=Counter)
    """Messages by command: `received["WRTE"]`."""
    sent: Counter[str] = field(default_factory=Counter)
    services: list[str] = field(default_factory=list)
    """Every service that a client asked for, as it named it."""
    errors: list[str] = field(default_factory=list)
    """Breaches of the protocol by a client."""

    def ended(self, task: asyncio.Task[None]) -> None:
        """A task that serves a client is over; what it did not expect is an error."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.errors.append(repr(error))

    def clear(self) -> None:
        """Count from zero."""
        fresh = Traffic()
        self.__dict__.update(fresh.__dict__)


class Link:
    """One connected socket, as messages; every byte passes the faults."""

    def __init__(self, sock: socket.socket, faults: Faults, traffic: Traffic) -> None:
        self.version = VERSION_CHECKSUMS
        self.max_payload = MAX_PAYLOAD
        self._verifies = False
        self._socket = sock
        self._faults = faults
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()

    def agree(self, *, version: int, max_payload: int) -> None:
        """Go on with what both sides can do."""
        self.version = version
        # Not before: a server that comes back after a cut has stopped computing them, in its greeting too.
        self._verifies = version < VERSION
        self.max_payload = max_payload

    async def receive(self) -> Message:
        """Raises WireError when the protocol is broken, OSError and EOFError when the line is."""
        command, arg0, arg1, length, checksum, magic = HEADER.unpack(await self._read(HEADER.size))
        if magic != int.from_bytes(command, "little") ^ 0xFFFFFFFF:
            raise WireError(f"{command!r} with magic {magic:#x}")
        if length > MAX_PAYLOAD:
            raise WireError(f"{command!r} with {length} bytes")
        data = await self._read(length) if length else b""
        if self._verifies and checksum != sum_of_bytes(data):
            raise WireError(f"{command!r} of {length} bytes with checksum {checksum:#x}")
        self._traffic.received[command.decode(errors="replace")] += 1
        return Message(command=command, arg0=arg0, arg1=arg1, data=data)

    async def send(self, message: Message) -> None:
        """Raises OSError when the line is cut."""
        data = message.data
        checksum = sum_of_bytes(data) if self.version < VERSION else 0
        magic = int.from_bytes(message.command, "little") ^ 0xFFFFFFFF
        header = HEADER.pack(message.command, message.arg0, message.arg1, len(data), checksum, magic)
        async with self._turn:
            self._traffic.sent[message.command.decode()] += 1
            await self._write(header + data if len(data) < 4096 else header)
            if len(data) >= 4096:
                await self._write(data)

    async def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        rest = memoryview(data)
        while rest:
            got = await self._loop.sock_recv_into(self._socket, rest[: self._faults.piece_bytes])
            if got == 0:
                raise EOFError("the client hung up")
            self._traffic.bytes_received += got
            await self._faults.passing(self._socket, received=got)
            rest = rest[got:]
        return data

    async def _write(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            piece = rest[: self._faults.piece_bytes]
            await self._faults.passing(self._socket, sent=len(piece))
            await self._loop.sock_sendall(self._socket, piece)
            self._traffic.bytes_sent += len(piece)
            rest = rest[len(piece) :]


def sum_of_bytes(data: bytes | bytearray | memoryview) -> int:
    """The `data_check` of a payload."""
    return int(np.frombuffer(data, np.uint8).sum(dtype=np.uint64)) & 0xFFFFFFFF
