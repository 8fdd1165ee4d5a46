"""The `sync:` service, which moves files (AOSP's SYNC.TXT and file_sync_service.cpp).

Both protocols: the first, and STA2, LST2 and LIS2 (features stat_v2, ls_v2), SND2 and RCV2 (sendrecv_v2,
uncompressed).
"""

import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from contextlib import suppress

REQUEST = struct.Struct("<4sI")
STAT = struct.Struct("<4sIII")
DENT = struct.Struct("<4sIIII")
STAT_2 = struct.Struct("<4sIQQIIIIQqqq")
DENT_2 = struct.Struct("<4sIQQIIIIQqqqI")
SEND_2 = struct.Struct("<4sII")
RECV_2 = struct.Struct("<4sI")
MAX_DATA_BYTES = 64 * 1024
MAX_PATH_BYTES = 1024


class SyncError(Exception):
    """A request that fails: its text goes to the client."""


def serve(client: socket.socket, *, no_space_after: int | None = None) -> None:
    """Answer requests until QUIT, the client's end, or a transfer that fails."""
    session = Session(client, no_space_after)
    try:
        while session.answer():
            pass
    finally:
        session.close()


class Session:
    """Requests of one client, one after another."""

    def __init__(self, client: socket.socket, no_space_after: int | None) -> None:
        self._input = client.makefile("rb", buffering=256 * 1024)
        self._output = client.makefile("wb", buffering=256 * 1024)
        self._space_left = no_space_after

    def close(self) -> None:
        """Send what is still to be sent."""
        with suppress(OSError):
            self._output.close()
        self._input.close()

    def answer(self) -> bool:
        """One request; False when it was the last."""
        name, length = REQUEST.unpack(self._exactly(REQUEST.size))
        if name == b"QUIT":
            return False
        try:
            self._handler(name, length)(self._exactly(length))
        except SyncError as error:
            text = str(error).encode(errors="surrogateescape")
            self._output.write(REQUEST.pack(b"FAIL", len(text)) + text)
            self._output.flush()
            if name in {b"SEND", b"SND2"}:
                self._throw_away_the_rest()
            return name in {b"RECV", b"RCV2"}
        self._output.flush()
        return True

    def _handler(self, name: bytes, length: int) -> Callable[[bytes], None]:
        if length > MAX_PATH_BYTES:
            raise SyncError("path too long")
        handlers = {
            b"STAT": self._stat,
            b"LST2": lambda path: self._stat_2(b"LST2", path, os.lstat),
            b"STA2": lambda path: self._stat_2(b"STA2", path, os.stat),
            b"LIST": self._list,
            b"LIS2": self._list_2,
            b"SEND": self._send,
            b"SND2": self._send_2,
            b"RECV": self._receive,
            b"RCV2": self._receive_2,
        }
        if name not in handlers:
            raise SyncError(f"unknown command {name.decode(errors='replace')!r}")
        return handlers[name]

    def _stat(self, path: bytes) -> None:
        try:
            found = os.lstat(path)
        except OSError:
            self._output.write(STAT.pack(b"STAT", 0, 0, 0))
        else:
            self._output.write(STAT.pack(b"STAT", *_short(found)))

    def _stat_2(self, name: bytes, path: bytes, look: Callable[[bytes], os.stat_result]) -> None:
        try:
            found = look(path)
        except OSError as error:
            self._output.write(STAT_2.pack(name, error.errno, *[0] * 10))
        else:
            self._output.write(STAT_2.pack(name, 0, *_long(found)))

    def _list(self, path: bytes) -> None:
        for entry, found in _entries(path):
            self._output.write(DENT.pack(b"DENT", *_short(found), len(entry)) + entry)
        self._output.write(DENT.pack(b"DONE", 0, 0, 0, 0))

    def _list_2(self, path: bytes) -> None:
        for entry, found in _entries(path):
            self._output.write(DENT_2.pack(b"DNT2", 0, *_long(found), len(entry)) + entry)
        self._output.write(DENT_2.pack(b"DONE", *[0] * 12))

    def _send(self, path_and_mode: bytes) -> None:
        path, comma, mode = path_and_mode.rpartition(b",")
        if not comma or not mode.isdigit():
            raise SyncError("missing , in ID_SEND_V1" if not comma else "bad mode")
        self._take(path, int(mode))

    def _send_2(self, path: bytes) -> None:
        _, mode, flags = SEND_2.unpack(self._exactly(SEND_2.size))
        if flags:
            raise SyncError(f"unknown flags: {flags}")
        self._take(path, mode)

    def _take(self, path: bytes, mode: int) -> None:
        """Write one file or link. What cannot be completed is removed."""
        try:
            there = os.lstat(path).st_mode
        except OSError:
            there = None
        # A device or a pipe is written to; it stays.
        replaceable = there is None or stat.S_ISREG(there) or (stat.S_ISLNK(there) and not stat.S_ISLNK(mode))
        if replaceable:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - names are bytes
        try:
            modified = self._take_link(path) if stat.S_ISLNK(mode) else self._take_file(path, mode)
        except (SyncError, OSError, EOFError):
            if replaceable:
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108
            raise
        with suppress(OSError):
            os.utime(path, (modified, modified), follow_symlinks=False)
        self._output.write(REQUEST.pack(b"OKAY", 0))

    def _take_file(self, path: bytes, mode: int) -> int:
        mode &= 0o777
        mode |= (mode >> 3) & 0o070  # the user's bits are everybody's
        mode |= (mode >> 3) & 0o007
        descriptor = _created(path, mode)
        try:
            os.fchmod(descriptor, mode)
            while (chunk := self._data()) is not None:
                self._write(descriptor, chunk)
        finally:
            os.close(descriptor)
        return self._done

    def _take_link(self, path: bytes) -> int:
        target = bytearray()
        while (chunk := self._data()) is not None:
            target += chunk
        try:
            os.symlink(bytes(target).rstrip(b"\0"), path)  # noqa: PTH211
        except OSError as error:
            raise SyncError(f"symlink failed: {error.strerror}") from error
        return self._done

    def _data(self) -> bytes | None:
        """The next piece of a file; None at its DONE, whose time is in `_done` then."""
        name, size = REQUEST.unpack(self._exactly(REQUEST.size))
        if name == b"DONE":
            self._done = size
            return None
        if name != b"DATA":
            raise SyncError("invalid data message")
        if size > MAX_DATA_BYTES:
            raise SyncError("oversize data message")
        return self._exactly(size)

    def _write(self, descriptor: int, chunk: bytes) -> None:
        if self._space_left is not None:
            self._space_left -= len(chunk)
            if self._space_left < 0:
                raise SyncError(f"write failed: {os.strerror(errno.ENOSPC)}")
        try:
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            raise SyncError(f"write failed: {error.strerror}") from error

    def _throw_away_the_rest(self) -> None:
        """A client may read only when it has written all."""
        with suppress(EOFError, OSError, SyncError):
            while self._data() is not None:
                pass

    def _receive(self, path: bytes) -> None:
        try:
            with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - names are bytes
                while chunk := stream.read(MAX_DATA_BYTES):
                    self._output.write(REQUEST.pack(b"DATA", len(chunk)))
                    self._output.write(chunk)
        except BrokenPipeError:
            raise
        except OSError as error:
            step = "open" if error.filename is not None else "read"
            raise SyncError(f"{step} failed: {error.strerror}") from error
        self._output.write(REQUEST.pack(b"DONE", 0))

    def _receive_2(self, path: bytes) -> None:
        _, flags = RECV_2.unpack(self._exactly(RECV_2.size))
        if flags:
            raise SyncError(f"unknown flags: {flags}")
        self._receive(path)

    def _exactly(self, count: int) -> bytes:
        data = self._input.read(count)
        if len(data) < count:
            raise EOFError
        return data


def _created(path: bytes, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        try:
            return os.open(path, flags, mode)
        except FileNotFoundError:
            _make_directories(os.path.dirname(path))  # noqa: PTH120
            return os.open(path, flags, mode)
        except FileExistsError:
            return os.open(path, os.O_WRONLY)
    except OSError as error:
        raise SyncError(f"couldn't create file: {error.strerror}") from error


def _make_directories(path: bytes) -> None:
    made = b""
    for part in path.split(b"/")[1:]:
        made += b"/" + part
        try:
            os.mkdir(made, 0o775)  # noqa: PTH102
        except FileExistsError:
            continue
        except OSError as error:
            if os.path.isdir(made):  # noqa: PTH112 - such as /data on a root that is read-only
                continue
            raise SyncError(f"secure_mkdirs failed: {error.strerror}") from error


def _entries(path: bytes) -> list[tuple[bytes, os.stat_result]]:
    """As readdir gives them; nothing for what cannot be listed."""
    found = []
    with suppress(OSError):
        for name in (b".", b"..", *os.listdir(path)):  # noqa: PTH208
            with suppress(OSError):
                found.append((name, os.lstat(path + b"/" + name)))
    return found


def _short(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime) & 0xFFFFFFFF


def _long(found: os.stat_result) -> tuple[int, ...]:
    kind = (found.st_dev, found.st_ino, found.st_mode, found.st_nlink, found.st_uid, found.st_gid)
    return (*kind, found.st_size, int(found.st_atime), int(found.st_mtime), int(found.st_ctime))
