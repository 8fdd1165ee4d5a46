"""The results directory: `<results>/<run-id>/run.json`, measurements.jsonl and logs/.

A measurement is one line, on the disk before the next case starts, so that a run that is killed loses at
most the line it was writing. A line counts once its newline is there.
"""

import difflib
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
from filelock import FileLock

from harness.errors import PocketbenchError
from harness.spec import SCHEMA, Case, Measurement, RunInfo

LAST = "last"
"""Names the newest run wherever a run id is taken."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BLOCK = 1 << 16
_Stored = TypeVar("_Stored", Measurement, RunInfo)


def new_run_id(now: datetime) -> str:
    """`20261122-174500-<10 hex>`: UTC second, then microsecond (5) and chance (5); sorts by time.

    `now` must be aware of its time zone.
    """
    if now.tzinfo is None:
        raise ValueError("a run id needs a time with a time zone")
    utc = now.astimezone(UTC)
    return f"{utc:%Y%m%d-%H%M%S}-{utc.microsecond:05x}{secrets.randbits(20):05x}"


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run as read back; `notes` say what was left out and why."""

    directory: Path
    info: RunInfo
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...] = ()


class RunWriter:
    """Writes one run; several processes may append to the same run."""

    def __init__(self, directory: Path, info: RunInfo) -> None:
        self.directory = directory
        self.info = info
        self._path = directory / "measurements.jsonl"
        self._lock = directory / ".measurements.lock"

    def append(self, measurement: Measurement) -> None:
        """Add one line and wait until it is on the disk.

        Raises PocketbenchError when it cannot be written; the file then ends where it ended before.
        """
        line = msgspec.json.encode(measurement) + b"\n"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock):
                _append_line(self._path, line)
        except OSError as error:
            raise self._explained(error, len(line)) from error

    def finish(self, now: datetime | None = None) -> RunInfo:
        """Write the time of the end into run.json and return the run's final description."""
        ended = (now or datetime.now(UTC)).isoformat()
        self.info = msgspec.structs.replace(self.info, finished_at=ended)
        try:
            _write_info(self.directory, self.info)
        except OSError as error:
            raise self._explained(error, 0) from error
        return self.info

    def log_path(self, case: Case, device: str = "") -> Path:
        """Where the log of `case` goes: one file per case and device; its directory exists.

        The hash keeps names apart that differ only in characters a file name cannot hold.
        """
        key = "/".join(part for part in (device, case.key) if part)
        readable = re.sub(r"[^A-Za-z0-9._@-]+", "-", key)[:160]
        directory = self.directory / "logs"
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:6]}.log"

    def _explained(self, error: OSError, needed: int) -> PocketbenchError:
        kept = _count_lines(self._path)
        before = "1 measurement before it is" if kept == 1 else f"{kept} measurements before it are"
        done = f"the {before} kept; --resume {self.info.run_id} goes on from there"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            free = _free_bytes(self.directory)
            return PocketbenchError(
                f"no space left for the results in {self.directory}: {needed / 1024:.1f} KiB needed, "
                f"{free / 1024:.1f} KiB free; {done}"
            )
        return PocketbenchError(f"cannot write the results in {self.directory} ({error.strerror}); {done}")


class RunStore:
    """The runs in one results directory."""

    def __init__(self, results_dir: Path) -> None:
        self.root = results_dir

    def run_ids(self) -> list[str]:
        """Ids of the runs that are there, oldest first."""
        try:
            return sorted(path.parent.name for path in self.root.glob("*/run.json"))
        except OSError as error:
            raise PocketbenchError(f"cannot read the results in {self.root} ({error.strerror})") from error

    def start(self, info: RunInfo) -> RunWriter:
        """Make the run's directory; raises PocketbenchError when there is one already."""
        if not _RUN_ID.fullmatch(info.run_id) or info.run_id == LAST:
            raise PocketbenchError(f"{info.run_id!r} cannot name a run: letters, digits and . _ - only")
        directory = self.root / info.run_id
        try:
            directory.mkdir(parents=True)
            _write_info(directory, info)
        except FileExistsError as error:
            raise PocketbenchError(f"{directory} is there already: resume it or take another id") from error
        except OSError as error:
            raise PocketbenchError(
                f"cannot make the results directory {directory} ({error.strerror}): "
                "give another with --results-dir or POCKETBENCH_RESULTS"
            ) from error
        return RunWriter(directory, info)

    def resume(self, run: str) -> RunWriter:
        """Go on writing a run that is there; its measurements stay."""
        stored = self.load(run)
        return RunWriter(stored.directory, stored.info)

    def resolve(self, run: str) -> str:
        """Id of the run that `run` names: an id or `last`."""
        ids = self.run_ids()
        if not ids:
            raise PocketbenchError(
                f"no runs in {self.root} yet: run pytest suites/, or name another directory with "
                "--results-dir or POCKETBENCH_RESULTS"
            )
        if run == LAST:
            return ids[-1]
        if run in ids:
            return run
        close = difflib.get_close_matches(run, ids, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        newest = ", ".join(reversed(ids[-3:]))
        raise PocketbenchError(f"no run {run!r} in {self.root}.{hint} Newest first: {newest}.")

    def load(self, run: str) -> StoredRun:
        """Read a run back; a later line of the same case and device replaces an earlier one."""
        directory = self.root / self.resolve(run)
        info_path, path = directory / "run.json", directory / "measurements.jsonl"
        try:
            info = _decode(info_path.read_bytes(), RunInfo, str(info_path))
            measurements, notes = read_measurements(path) if path.is_file() else ((), ())
        except OSError as error:
            raise PocketbenchError(f"cannot read the run in {directory} ({error.strerror})") from error
        return StoredRun(directory=directory, info=info, measurements=measurements, notes=notes)


def read_measurements(path: Path) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    """What a measurements.jsonl holds, and notes on what was left out of it.

    A later line of the same case and device replaces an earlier one. Raises OSError when the file cannot be
    read, PocketbenchError naming the line that cannot be decoded.
    """
    *lines, rest = path.read_bytes().split(b"\n")
    told = (
        f"{path.name}: the last line is half-written ({len(rest)} bytes) and was left out; "
        "its case has to be measured again"
    )
    notes = (told,) if rest else ()
    return _newest(decode_measurement(line, f"{path}:{n}") for n, line in enumerate(lines, 1)), notes


def decode_measurement(line: bytes | str, where: str) -> Measurement:
    """One stored measurement; raises PocketbenchError naming `where` when it cannot be read."""
    return _decode(line, Measurement, where)


def decode_run_info(content: bytes | str, where: str) -> RunInfo:
    """One stored run.json; raises PocketbenchError naming `where` when it cannot be read."""
    return _decode(content, RunInfo, where)


class _Versioned(msgspec.Struct):
    schema: int = SCHEMA


def _decode(content: bytes | str, kind: type[_Stored], where: str) -> _Stored:
    try:
        version = msgspec.json.decode(content, type=_Versioned).schema
        if version > SCHEMA:
            raise PocketbenchError(
                f"{where} was written by a newer pocketbench (schema {version}, this one reads up to "
                f"{SCHEMA}): update pocketbench"
            )
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PocketbenchError(f"{where} cannot be read: {error}") from error


def _newest(measurements: Iterable[Measurement]) -> tuple[Measurement, ...]:
    kept: dict[tuple[str, str], Measurement] = {}
    for measurement in measurements:
        kept[measurement.device, measurement.case.key] = measurement
    return tuple(kept.values())


def _append_line(path: Path, line: bytes) -> None:
    with path.open("a+b", buffering=0) as stream:
        end = _whole_end(stream.fileno())
        # What a killed writer left half-written would spoil the line after it.
        stream.truncate(end)
        try:
            written = 0
            while written < len(line):
                written += stream.write(line[written:]) or 0
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(end)
            raise


def _whole_end(descriptor: int) -> int:
    """Offset just behind the last newline."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _write_info(directory: Path, info: RunInfo) -> None:
    scratch = directory / f".run.json.{os.getpid()}"
    try:
        with scratch.open("wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(info)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(directory / "run.json")
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def _count_lines(path: Path) -> int:
    try:
        with path.open("rb") as stream:
            return sum(1 for line in stream if line.endswith(b"\n"))
    except OSError:
        return 0


def _free_bytes(directory: Path) -> int:
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free
