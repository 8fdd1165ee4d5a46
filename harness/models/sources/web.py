"""`url:` sources: a file from a web server, or what lies in an archive there."""

from pathlib import Path

from harness.errors import PocketbenchError
from harness.models.download import Told, download
from harness.models.forms import Place
from harness.models.sources.archives import unpack


def fetch_url(place: Place, target: Path, parts: Path, told: Told) -> None:
    """Write the file or folder that `place` means to `target`; parts of downloads lie in `parts` meanwhile.

    `told` hears how far the download is. Raises PocketbenchError when the server cannot be reached or has no
    such file, or when the archive is not safe to unpack or does not hold what is meant.
    """
    if place.member is None:
        _downloaded(place, target, parts, told)
        return
    archive = target.with_name(".archive")
    _downloaded(place, archive, parts, told)
    unpack(place, archive, target)
    archive.unlink()


def _downloaded(place: Place, path: Path, parts: Path, told: Told) -> None:
    try:
        download(place.where, path, parts, told)
    except ConnectionError as error:
        raise PocketbenchError(
            f"source {place.source!r}: could not get {place.where} ({error}). Once fetched it is cached and "
            "works offline; until then connect to the network or set a proxy (HTTPS_PROXY=URL), or put the "
            "file beside the zoo and use file:PATH"
        ) from error
