"""What a device sends: a line that says what is coming, then a file, or a tree, unpacked as it comes."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Self

from devices.base import Progress
from devices.remote import archive

_COMING = re.compile(rb"(tree|file|large) (\d+) ([-x])")
_LINE_BYTES = 100
_MOST_CHUNKS = 64
"""So many wait for the disk, then the line waits."""


class Incoming:
    """Takes a device's bytes: a file goes to `scratch`, and what is in a tree to the new folder `tree`.

    A context: after it all that came has been written. `kind` is what the device said is coming; of a "large"
    file only where it is.
    """

    def __init__(self, scratch: Path, tree: Path, progress: Progress | None) -> None:
        self.kind = ""
        self.executable = False
        self._file = scratch.open("xb")
        self._tree = tree
        self._unpacking: _Unpacking | None = None
        self._progress = progress
        self._line = b""
        self._wrong = False
        self._total = self._done = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._unpacking is not None:
            self._unpacking.end()

    @property
    def begun(self) -> bool:
        """Whether it was said what is coming."""
        return bool(self.kind)

    def sha256(self) -> list[str]:
        """Of each file, hexadecimal, sorted; raises what archive.extract does."""
        return self._unpacking.sha256() if self._unpacking else [self._digest.hexdigest()]

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if not self.begun:
            if self._wrong:
                return
            self._line += chunk
            line, newline, chunk = self._line.partition(b"\n")
            said = _COMING.fullmatch(line) if newline else None
            if said is None:
                self._wrong = bool(newline) or len(line) > _LINE_BYTES
                return
            self.kind, self.executable = said[1].decode(), said[3] == b"x"
            self._total = int(said[2]) * (1024 if self.kind == "tree" else 1)
            if self.kind == "tree":
                self._unpacking = _Unpacking(self._tree)
        if self._unpacking is not None:
            self._unpacking.feed(chunk)
        else:
            self._file.write(chunk)
        if self.kind != "large":
            self._digest.update(chunk)
            self.count(len(chunk))

    def count(self, size: int) -> None:
        """So many bytes of what is wanted have come."""
        self._done += size
        if self._progress is not None:
            self._progress(self._done, max(self._done, self._total))

    def end(self) -> None:
        """Tell that it is all: what `du` says of a tree is near to what it is as a stream, not the same."""
        if self._progress is not None:
            self._progress(self._done, self._done)


class _Unpacking:
    """An archive that is unpacked in a thread while it comes."""

    def __init__(self, into: Path) -> None:
        self._chunks: Queue[bytes | None] = Queue(_MOST_CHUNKS)
        self._rest = memoryview(b"")
        self._has_ended = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="unpack")
        self._working = self._pool.submit(self._work, into)

    def feed(self, chunk: bytes) -> None:
        """The next bytes; waits when too many are to be written first."""
        self._chunks.put(chunk)

    def end(self) -> None:
        """Those were all; waits until they are written."""
        self._chunks.put(None)
        self._pool.shutdown()

    def sha256(self) -> list[str]:
        """Of each file, hexadecimal, sorted; raises what went wrong."""
        return sorted(self._working.result())

    def read(self, count: int) -> bytes:
        """For tarfile."""
        parts: list[memoryview] = []
        while count:
            if not self._rest and not self._next():
                break
            parts.append(self._rest[:count])
            self._rest = self._rest[count:]
            count -= len(parts[-1])
        return b"".join(parts)

    def _next(self) -> bool:
        """Go on to the next chunk; False after the last."""
        if not self._has_ended:
            chunk = self._chunks.get()
            self._has_ended = chunk is None
            self._rest = memoryview(chunk or b"")
        return not self._has_ended

    def _work(self, into: Path) -> list[str]:
        try:
            return archive.extract(self, into)
        finally:
            while self._next():
                pass  # whoever feeds must not wait for one who has given up
