"""One file over HTTP, whole or not at all; what came before a connection broke is not fetched again."""

import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from filelock import FileLock

from harness.cache import digest_of
from harness.errors import PocketbenchError

TIMEOUT_S: Final = 60.0
ATTEMPTS: Final = 5
"""How often in a row a server may hang up without having sent anything new."""
PAUSE_S: Final = 0.5
_BLOCK_BYTES: Final = 1 << 20
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Told = Callable[[int, int], None]
"""Told how many bytes have come, and how many there are (0: the server does not say)."""


class _Version(msgspec.Struct, frozen=True):
    """What the server calls the content that a part was taken from (RFC 9110, section 8.8)."""

    validator: str = ""


class _Broken(Exception):  # noqa: N818 - not for those who call
    """The connection ended early; `resumable` is whether the rest alone can be asked for."""

    def __init__(self, why: str, *, resumable: bool) -> None:
        super().__init__(why)
        self.resumable = resumable


def download(url: str, path: Path, parts: Path, told: Told) -> None:
    """Write what `url` (http or https) answers to `path`, which appears only when it is whole.

    The part that has come lies in the directory `parts` meanwhile and is kept when the connection breaks: the
    rest is asked for by range, at once and in later calls, if the server says that the content is the same.
    `told` hears how far it is. Raises ConnectionError when the server cannot be reached or keeps hanging up,
    PocketbenchError when it answers with an error or the content does not fit on the disk.
    """
    if not url.startswith(("https://", "http://")):
        raise PocketbenchError(f"cannot download {url}: only http and https are spoken")
    parts.mkdir(parents=True, exist_ok=True)
    part = parts / f"{digest_of(url)}.part"
    with FileLock(part.with_suffix(".lock")):
        _complete(url, part, told)
        part.replace(path)
        _version_file(part).unlink(missing_ok=True)


def _complete(url: str, part: Path, told: Told) -> None:
    """Ask until `part` is whole."""
    failures = 0
    while True:
        before = _size(part)
        try:
            _request(url, part, told)
        except _Broken as error:
            failures = failures + 1 if _size(part) <= before else 0
            if not error.resumable or failures >= ATTEMPTS:
                raise ConnectionError(str(error)) from error
            time.sleep(PAUSE_S)
        else:
            return


def _request(url: str, part: Path, told: Told) -> None:
    """Ask once for what is missing of `part` and append it."""
    offset, headers = _what_is_missing(part)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - checked by who calls
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - checked by who calls
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
                _forget(part)  # another content than the one that the part is of
                raise _Broken("the server has no such range", resumable=True) from error
            raise PocketbenchError(
                f"cannot download {url}: the server answers {error.code} {error.reason}"
            ) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        why = f"{getattr(error, 'reason', error) or type(error).__name__}"
        raise _Broken(why, resumable=offset > 0) from error
    with answer:
        _receive(url, answer, part, told)


def _what_is_missing(part: Path) -> tuple[int, Mapping[str, str]]:
    """How many bytes of the part hold, and the headers that ask for the rest."""
    headers = {"User-Agent": "pocketbench", "Accept-Encoding": "identity"}
    known, offset = _version_of(part), _size(part)
    if not known.validator or not offset:
        _forget(part)
        return 0, headers
    return offset, {**headers, "Range": f"bytes={offset}-", "If-Range": known.validator}


def _receive(url: str, answer: http.client.HTTPResponse, part: Path, told: Told) -> None:
    """Append what the server sends; all is taken anew when it does not continue where the part ends."""
    start = 0
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        said = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if said is None or int(said[1]) != _size(part):
            _forget(part)
            raise _Broken("the server sent another range than it was asked for", resumable=True)
        start = int(said[1])
    validator = _validator(answer)
    _version_file(part).write_bytes(msgspec.json.encode(_Version(validator=validator)))
    announced = answer.headers.get("Content-Length")
    if announced is not None:
        _check_room(url, int(announced), part.parent)
    total = start + int(announced) if announced is not None else 0
    received, why = _copied(answer, part, start, lambda there: told(there, total))
    if why or (announced is not None and received != int(announced)):
        whole = "" if announced is None else f" of {start + int(announced)}"
        cause = f" ({why})" if why else ""
        raise _Broken(
            f"the connection ended after {start + received}{whole} bytes{cause}", resumable=bool(validator)
        )


def _validator(answer: http.client.HTTPResponse) -> str:
    """What a later request can name the content by; weak ones allow no ranges (RFC 9110, section 13.1.5)."""
    etag = answer.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return str(etag)
    return "" if etag else str(answer.headers.get("Last-Modified", ""))


def _copied(
    answer: http.client.HTTPResponse, part: Path, start: int, told: Callable[[int], None]
) -> tuple[int, str]:
    """How many bytes came after `start`, and why no more did if the connection broke.

    Errors of the disk are passed on.
    """
    received = 0
    with part.open("ab" if start else "wb") as file:
        while True:
            told(start + received)
            try:
                block = answer.read1(_BLOCK_BYTES)
            except (http.client.HTTPException, OSError) as error:
                return received, f"{error or type(error).__name__}"
            if not block:
                return received, ""
            received += file.write(block)


def _check_room(url: str, size_bytes: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if size_bytes > free:
        raise PocketbenchError(
            f"no space left for {url}: it takes {size_bytes / 2**20:.1f} MiB and {free / 2**20:.1f} MiB are "
            f"free in {folder}. Make room there, or set POCKETBENCH_CACHE to a larger disk"
        )


def _version_of(part: Path) -> _Version:
    try:
        return msgspec.json.decode(_version_file(part).read_bytes(), type=_Version)
    except (FileNotFoundError, msgspec.DecodeError):
        return _Version()


def _version_file(part: Path) -> Path:
    return part.with_suffix(".json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
