"""The messages of adb on a pipe. Source: AOSP, packages/modules/adb/protocol.txt."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from adb_shell import constants

from devices.adb.pipe import Pipe

CNXN: bytes = constants.CNXN
AUTH: bytes = constants.AUTH
OPEN: bytes = constants.OPEN
OKAY: bytes = constants.OKAY
WRTE: bytes = constants.WRTE
CLSE: bytes = constants.CLSE
STLS = b"STLS"

VERSION = 0x01000001
"""Since Android 9; nobody computes checksums any more. adb-shell's is the one before."""
MAX_PAYLOAD: int = constants.MAX_ADB_DATA
_HEADER = struct.Struct("<4s5I")


class NotAdbError(ConnectionError):
    """What the other side sends is no message of adb's."""


class Message(NamedTuple):
    """One message; the arguments of a stream's are the sender's and the receiver's number for it."""

    command: bytes
    arg0: int
    arg1: int
    payload: Sequence[memoryview] = ()


class Wire:
    """Sends and receives messages. One thread may receive while another sends. Errors are OSError."""

    def __init__(self, pipe: Pipe) -> None:
        self.max_payload: int = constants.MAX_LEGACY_ADB_DATA
        self._pipe = pipe
        self._wants_checksums = True

    def agree(self, *, version: int, max_payload: int) -> None:
        """Go on with what both sides can do, now that the phone has told what it can."""
        self.max_payload = min(MAX_PAYLOAD, max_payload)
        self._wants_checksums = version < VERSION

    def send(self, message: Message) -> None:
        """Send all of it."""
        size = sum(map(len, message.payload))
        checksum = sum(map(sum, message.payload)) & 0xFFFFFFFF if self._wants_checksums else 0
        magic = int.from_bytes(message.command, "little") ^ 0xFFFFFFFF
        header = _HEADER.pack(message.command, message.arg0, message.arg1, size, checksum, magic)
        self._pipe.write(header, message.payload)

    def receive(self) -> Message:
        """The next message; NotAdbError when it is none. TCP and USB have checksums of their own."""
        header = bytearray(_HEADER.size)
        self._pipe.read_into(memoryview(header))
        command, arg0, arg1, size, _, magic = _HEADER.unpack(header)
        if magic != int.from_bytes(command, "little") ^ 0xFFFFFFFF or size > MAX_PAYLOAD:
            raise NotAdbError("it does not speak adb's protocol")
        if not size:
            return Message(command, arg0, arg1)
        payload = memoryview(bytearray(size))
        self._pipe.read_into(payload)
        return Message(command, arg0, arg1, (payload,))
