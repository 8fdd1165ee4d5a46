"""Talks to a hub through huggingface_hub, in a process of its own (hub_messages.py has what is said).

A process of its own because huggingface_hub reads its environment (HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE ...)
once, when it is imported: so what holds is what is set when something is fetched.
"""

import errno
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import msgspec
from huggingface_hub import (
    HfApi,
    RepoFile,
    constants,
    get_cached_repo_tree,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name

from harness.models.forms import COMMIT, Place
from harness.models.sources.folders import is_pointer, nearest
from harness.models.sources.hub_choice import needed_files
from harness.models.sources.hub_messages import Answer, Coming, Kind, Problem, Request
from harness.models.sources.hub_pace import telling

_WORKERS: Final = 4


class RefusedError(Exception):
    """What is wanted cannot be had, found here and not by huggingface_hub."""

    def __init__(self, kind: Kind, said: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(said)
        self.kind: Kind = kind
        self.names = names


class _Tree(NamedTuple):
    """The files of a repository at a commit; `unheard` is why they are listed from the cache, if they are."""

    commit: str
    files: Mapping[str, RepoFile]
    unheard: Exception | None = None


def main() -> None:
    """Answer the one request on stdin."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    answer: Answer | Problem
    try:
        answer = _answer(request)
    except (RefusedError, httpx2.HTTPError, OSError, ValueError, EntryNotFoundError) as error:
        answer = _problem(error, request.place)
    _say(answer)


def _say(message: Answer | Problem | Coming) -> None:
    """A line of its own, whatever a library has printed before."""
    sys.stdout.buffer.write(b"\n" + msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def _answer(request: Request) -> Answer:
    place, api = request.place, HfApi(library_name="pocketbench")
    if request.commit_only:
        return Answer(commit=_commit(api, place))
    tree = _tree(api, place)
    names = needed_files(tree.files, place)
    if not names:
        wanted = place.member or "file that is wanted"
        raise RefusedError("file", f"holds no {wanted}", tuple(nearest(wanted, sorted(tree.files))))
    missing = _missing_bytes(place, tree, names)
    _check_room(missing)
    repository = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=place.where, repo_type="model"))
    with telling(repository, missing, _say_coming):
        snapshot = _snapshot(place, tree, names)
    if tree.unheard is None:
        for name in names:
            _check_file(snapshot / name, tree.files[name])
    return Answer(commit=tree.commit, snapshot=str(snapshot), files=tuple(names))


def _snapshot(place: Place, tree: _Tree, names: list[str]) -> Path:
    """The folder in the hub's cache that holds the files `names`, fetched when they are not there."""
    try:
        folder = snapshot_download(
            place.where,
            revision=tree.commit,
            allow_patterns=[escape(name) for name in names],
            local_files_only=tree.unheard is not None,
            max_workers=_WORKERS,
            library_name="pocketbench",
        )
    except LocalEntryNotFoundError as error:
        raise tree.unheard or error from error
    return Path(folder)


def _commit(api: HfApi, place: Place) -> str:
    commit = api.model_info(place.where, revision=place.revision or None).sha
    if commit is None or not COMMIT.fullmatch(commit):
        raise RefusedError("not_a_hub", "it names no commit")
    if place.pinned and commit != place.revision:
        raise RefusedError("not_a_hub", f"asked for a commit, it answers with another, {commit}")
    return commit


def _tree(api: HfApi, place: Place) -> _Tree:
    """The repository's files as the hub lists them, or as it did when they were fetched."""
    try:
        commit = _commit(api, place)
        listed = api.list_repo_tree(place.where, recursive=True, revision=commit)
        return _Tree(commit, {one.path: one for one in listed if isinstance(one, RepoFile)})
    except (OfflineModeIsEnabled, httpx2.TransportError) as error:
        try:
            known = get_cached_repo_tree(place.where, revision=place.revision or None)
        except CachedRepoTreeNotFoundError:
            raise error from None
        revision = api.resolve_revision(place.where, revision=place.revision or None, local_files_only=True)
        return _Tree(revision.resolved, {one.path: one for one in known}, error)


def _say_coming(done: int, total: int) -> None:
    _say(Coming(done=done, total=total))


def _missing_bytes(place: Place, tree: _Tree, names: list[str]) -> int:
    """How many bytes are to be fetched."""
    if tree.unheard is not None:
        return 0
    missing = [name for name in names if not _is_cached(place, name, tree.commit)]
    return sum(tree.files[name].size for name in missing)


def _check_room(needed: int) -> None:
    """Refuse before anything is fetched what does not fit; huggingface_hub would only warn."""
    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        said = f"{needed / 2**20:.1f} MiB are to be fetched, {free / 2**20:.1f} MiB free"
        raise RefusedError("no_space", said)


def _is_cached(place: Place, name: str, commit: str) -> bool:
    return isinstance(try_to_load_from_cache(place.where, name, revision=commit), str)


def _check_file(path: Path, expected: RepoFile) -> None:
    """Refuse a file that is not the one in the commit, and take it out of the hub's cache.

    The hub's list says what git knows of a file: the SHA-256 of one in git-lfs, else git's own name of the
    content, SHA-1 over a header and the bytes (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects).
    """
    with path.open("rb") as stream:
        if expected.lfs is not None:
            wanted, found = expected.lfs.sha256, hashlib.file_digest(stream, "sha256").hexdigest()
        else:
            header = f"blob {path.stat().st_size}\0".encode()
            wanted = expected.blob_id
            found = hashlib.sha1(header + stream.read(), usedforsecurity=False).hexdigest()
    if found == wanted:
        return
    said = f"{expected.path} has {path.stat().st_size} of {expected.size} bytes"
    kind: Kind = "pointer" if is_pointer(path) else "content"
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise RefusedError(kind, f"{said} and the digest {found} instead of {wanted}")


def _problem(error: Exception, place: Place) -> Problem:
    kind, said = next(filter(None, map(_kind, _causes(error))), ("answer", str(error)))
    return Problem(
        problem=kind,
        said=" ".join(said.split())[:400],
        endpoint=constants.ENDPOINT,
        cache=constants.HF_HUB_CACHE,
        names=error.names if isinstance(error, RefusedError) else _existing(kind, place),
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of, the first cause last."""
    while error is not None:
        yield error
        error = error.__cause__


def _kind(error: BaseException) -> tuple[Kind, str] | None:
    """What kind of problem an error is, and in which words it is told; None leaves it to its cause."""
    for family, told in _FAMILIES:
        if isinstance(error, family):
            return told(error)
    return None


def _kind_of_answer(error: Any) -> tuple[Kind, str]:  # noqa: ANN401 - an HfHubHTTPError
    status = error.response.status_code
    said = f"it answers {status}{f': {error.server_message}' if error.server_message else ''}"
    if isinstance(error, RevisionNotFoundError):
        return "revision", said
    unknown = isinstance(error, RepositoryNotFoundError) or (status == 401 and "credentials" not in said)
    if unknown and not isinstance(error, GatedRepoError):
        # To those without a token, hubs answer 401 for what does not exist and for what is private.
        return "repository", said
    return ("denied" if status in {401, 403} else "answer"), said


def _kind_of_os_error(error: Any) -> tuple[Kind, str] | None:  # noqa: ANN401 - an OSError
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        free = shutil.disk_usage(constants.HF_HUB_CACHE).free
        return "no_space", f"{free / 2**20:.1f} MiB free"
    if error.errno in {errno.EACCES, errno.EROFS, errno.EPERM}:
        return "not_writable", error.strerror or str(error)
    if "Consistency check failed" in str(error):
        return "broken_off", str(error).partition("\n")[0]
    return None


_Families = type[BaseException] | tuple[type[BaseException], ...]
_FAMILIES: Final[Sequence[tuple[_Families, Callable[[Any], tuple[Kind, str] | None]]]] = (
    (RefusedError, lambda error: (error.kind, str(error))),
    (OfflineModeIsEnabled, lambda _: ("offline", "HF_HUB_OFFLINE is set")),
    (HfHubHTTPError, _kind_of_answer),
    ((httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.ReadTimeout), lambda e: ("broken_off", str(e))),
    (httpx2.TransportError, lambda error: ("unreachable", str(error) or type(error).__name__)),
    (FileMetadataError, lambda error: ("not_a_hub", str(error))),
    (HFValidationError, lambda error: ("repository", str(error))),
    ((json.JSONDecodeError, UnicodeDecodeError), lambda _: ("not_a_hub", "it does not answer in JSON")),
    (ValueError, lambda error: ("answer", f"huggingface_hub does not take what it says: {error}")),
    (OSError, _kind_of_os_error),
)
"""Errors, the special before the general, and what they mean here."""


def _existing(kind: Kind, place: Place) -> tuple[str, ...]:
    """What the hub has instead of a name it does not know; nothing when it does not say."""
    api = HfApi(library_name="pocketbench")
    try:
        if kind == "repository":
            alike = place.where.rpartition("/")[2]
            names = [model.id for model in api.list_models(search=alike, limit=50)]
        elif kind == "revision":
            refs = api.list_repo_refs(place.where)
            names = [ref.name for ref in (*refs.branches, *refs.tags)]
        else:
            return ()
    except (httpx2.HTTPError, OSError, ValueError):
        return ()
    wanted = place.where if kind == "repository" else place.revision
    return tuple(nearest(wanted, names))


if __name__ == "__main__":
    main()
