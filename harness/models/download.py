"""One file over HTTP, whole or not at all."""

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from harness.errors import PocketbenchError

TIMEOUT_S: Final = 60.0
_BLOCK_BYTES: Final = 1 << 20


def download(url: str, path: Path) -> None:
    """Write what `url` (http or https) answers to `path`.

    Raises ConnectionError when the server cannot be reached or hangs up early, PocketbenchError when it
    answers with an error. `path` may hold a part then: write into a directory that is thrown away.
    """
    if not url.startswith(("https://", "http://")):
        raise PocketbenchError(f"cannot download {url}: only http and https are spoken")
    request = urllib.request.Request(url, headers={"User-Agent": "pocketbench"})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - checked above
            received = _copied(answer, path)
            announced = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        with error:
            raise PocketbenchError(
                f"cannot download {url}: the server answers {error.code} {error.reason}"
            ) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise ConnectionError(f"{getattr(error, 'reason', error) or type(error).__name__}") from error
    if announced is not None and received != int(announced):
        raise ConnectionError(f"the connection ended after {received} of {announced} bytes")


def _copied(answer: http.client.HTTPResponse, path: Path) -> int:
    received = 0
    with path.open("wb") as file:
        while block := answer.read(_BLOCK_BYTES):
            received += file.write(block)
    return received
