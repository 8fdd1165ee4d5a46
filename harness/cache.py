"""One content-keyed store for everything that is built once and used often.

An entry is a directory `<root>/<kind>/<key>/` that appears whole or not at all: it is built under a
temporary name, behind a lock that two sessions share, and renamed. What cannot be built is remembered
too (`failure.json`), because a converter that refuses a model today refuses it every night.
"""

import copy
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
from filelock import FileLock
from platformdirs import user_cache_path

from harness.errors import ConversionError, PocketbenchError, UnsupportedError

Downloading = Callable[[str, int, int], None]
"""Told what is being downloaded, how many bytes of it are there, and how many it has (0: nobody says)."""


def default_root() -> Path:
    """The user's cache directory, or POCKETBENCH_CACHE."""
    given = os.environ.get("POCKETBENCH_CACHE")
    return Path(given) if given else user_cache_path("pocketbench")


def digest_of(value: Any) -> str:  # noqa: ANN401 - anything msgspec can encode
    """Hash of a JSON-able value: same value, same hash, in every process."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_sha256(root: Path, files: Iterable[Path] | None = None) -> str:
    """SHA-256 over the relative names and contents of a tree's files."""
    total = hashlib.sha256()
    for path in sorted(files if files is not None else (p for p in root.rglob("*") if p.is_file())):
        total.update(f"{path.relative_to(root).as_posix()}\0{file_sha256(path)}\n".encode())
    return total.hexdigest()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an entry cannot be built, what the tool printed, and in what circumstances."""

    message: str
    log: str = ""
    given: str = ""


class Cache:
    """Get or build entries; safe for several processes at once.

    With `ask_again` it tries also what it remembers as refused.
    """

    def __init__(self, root: Path | None = None, *, ask_again: bool = False) -> None:
        self.root = (root or default_root()).absolute()
        self._ask_again = ask_again
        self.downloading: Downloading = lambda *_: None
        self.built: list[str] = []
        """What this process had to build, `kind/key`, in order; empty on a warm run."""

    def telling(self, downloading: Downloading) -> Self:
        """The same cache, which tells `downloading`, from any thread, how far what is fetched for it is."""
        other = copy.copy(self)
        other.downloading = downloading
        return other

    def path(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Where the entry for `key` lies once it is built."""
        return self.root / kind / digest_of(key)

    def has(self, kind: str, key: Mapping[str, Any]) -> bool:
        """Whether the entry is there, built or failed for good."""
        path = self.path(kind, key)
        return path.is_dir() or _failure_path(path).is_file()

    def entry(
        self,
        kind: str,
        key: Mapping[str, Any],
        build: Callable[[Path], None],
        *,
        refusal: type[UnsupportedError] = ConversionError,
        given: str = "",
    ) -> Path:
        """Directory of the entry for `key`; calls `build(directory)` when it is not there yet.

        Raises `refusal` when `build` did, now or at an earlier time with the same key and the same `given`,
        which names circumstances that a refusal depends on and an entry does not. Any other error of `build`
        is passed on and nothing is remembered.
        """
        path = self.path(kind, key)
        if path.is_dir():
            return path
        self._raise_remembered(path, refusal, given)
        self._make_parent(path)
        with self._locked(path):
            if path.is_dir():
                return path
            self._raise_remembered(path, refusal, given)
            try:
                self._build(path, key, build)
            except refusal as error:
                with suppress(OSError):  # on a full disk the next run tries again
                    _remember(path, error, given)
                raise
            _failure_path(path).unlink(missing_ok=True)
        self.built.append(f"{kind}/{path.name}")
        return path

    def forget(self, kind: str, key: Mapping[str, Any]) -> None:
        """Remove an entry or a remembered failure, so that it is built anew."""
        path = self.path(kind, key)
        shutil.rmtree(path, ignore_errors=True)
        _failure_path(path).unlink(missing_ok=True)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire()
        except OSError as error:
            raise self._explained(error) from error
        try:
            yield
        finally:
            lock.release()

    def _make_parent(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._explained(error) from error

    def _build(self, path: Path, key: Mapping[str, Any], build: Callable[[Path], None]) -> None:
        prefix = f".{path.name}-"
        for abandoned in path.parent.glob(f"{prefix}*"):
            # Its builder is dead: we hold the lock.
            shutil.rmtree(abandoned, ignore_errors=True)
        try:
            scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
            scratch.chmod(0o755)
        except OSError as error:
            raise self._explained(error) from error
        try:
            (scratch / "key.json").write_bytes(msgspec.json.format(msgspec.json.encode(key)))
            build(scratch)
            scratch.rename(path)
        except OSError as error:
            raise self._explained(error) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _raise_remembered(self, path: Path, refusal: type[UnsupportedError], given: str) -> None:
        stored = _failure_path(path)
        if self._ask_again or not stored.is_file():
            return
        failure = msgspec.json.decode(stored.read_bytes(), type=Failure)
        if failure.given != given:
            return
        if issubclass(refusal, ConversionError):
            raise refusal(failure.message, failure.log)
        raise refusal(failure.message)

    def _explained(self, error: OSError) -> Exception:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            free = shutil.disk_usage(_existing(self.root)).free
            return PocketbenchError(
                f"no space left in the cache {self.root} ({free / 2**20:.0f} MiB free): "
                "make room there, or set POCKETBENCH_CACHE to a larger disk"
            )
        if error.errno in {errno.EACCES, errno.EROFS, errno.EPERM}:
            return PocketbenchError(
                f"cannot write the cache {self.root} ({error.strerror}): "
                "set POCKETBENCH_CACHE to a directory you own"
            )
        return error


def _failure_path(path: Path) -> Path:
    return path.with_suffix(".failure.json")


def _remember(path: Path, error: UnsupportedError, given: str) -> None:
    log = error.log if isinstance(error, ConversionError) else ""
    written = path.parent / f".{path.name}-failure.json"  # as the rest of what is half made
    try:
        written.write_bytes(msgspec.json.encode(Failure(message=str(error), log=log, given=given)))
        written.rename(_failure_path(path))
    finally:
        written.unlink(missing_ok=True)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
