"""`hf:` sources: a repository of a hub, or one file of it, through huggingface_hub and its cache."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import msgspec

from harness.errors import PocketbenchError
from harness.models.download import Told
from harness.models.forms import Place
from harness.models.secrets import without_passwords, without_tokens
from harness.models.sources.folders import link_file, listing
from harness.models.sources.hub_messages import Answer, Coming, Kind, Problem, Request

_QUIET: Final[Mapping[str, str]] = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_VERBOSITY": "error",
    "HF_DEBUG": "0",  # would print every request
}
_ELSEWHERE: Final = (
    "What the hub's cache holds already is used with HF_HUB_OFFLINE=1 (HF_HOME says where it lies); or "
    "fetch the files on another machine and use file:FOLDER"
)


def fetch_from_hub(place: Place, target: Path, told: Told) -> None:
    """Make the file or folder of a repository that `place` means appear as `target`.

    The files stay in the hub's own cache, shared with other programs, and are linked from there; `told` hears
    how far those are that have to come. Raises PocketbenchError for whatever keeps them from being had.
    """
    answer = _ask(Request(place=place), told)
    snapshot, folder = Path(answer.snapshot), place.member or ""
    if folder and not folder.endswith("/"):
        link_file(snapshot / folder, target)
        return
    for name in answer.files:
        path = target / name.removeprefix(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        link_file(snapshot / name, path)


def commit_of(place: Place) -> str:
    """The commit that the revision of `place` leads to now; PocketbenchError when the hub does not say."""
    return _ask(Request(place=place, commit_only=True)).commit


def _ask(request: Request, told: Told = lambda *_: None) -> Answer:
    # A file, because a pipe that nobody reads fills up.
    with (
        TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "harness.models.sources.hub_client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            # Xet servers are others than the hub and no mirror has them; who wants them sets it to 0.
            env={"HF_HUB_DISABLE_XET": "1", **os.environ, **_QUIET},
        ) as client,
    ):
        try:
            _send(client, request)
            answer = _heard(client.stdout or (), told)
        except BaseException:
            client.kill()
            raise
        code = client.wait()
        said.seek(0)
        printed = said.read().decode(errors="replace")
    if code != 0 or answer is None:
        last = (printed.strip().splitlines() or ["it printed nothing"])[-1]
        raise PocketbenchError(
            f"source {request.place.source!r}: huggingface_hub failed (exit code {code}): "
            f"{_without_secrets(last)}"
        )
    if isinstance(answer, Problem):
        raise PocketbenchError(_without_secrets(_explained(request.place, answer)))
    return answer


def _send(client: subprocess.Popen[bytes], request: Request) -> None:
    if client.stdin is not None:
        with suppress(BrokenPipeError), client.stdin as stream:  # why it ended is told by what it printed
            stream.write(msgspec.json.encode(request))


def _heard(lines: Iterable[bytes], told: Told) -> Answer | Problem | None:
    """The answer among what is printed, which may be more than the protocol has; None without one."""
    answer = None
    for line in lines:
        try:
            message = msgspec.json.decode(line, type=Answer | Problem | Coming)
        except msgspec.DecodeError:
            continue
        if isinstance(message, Coming):
            told(message.done, message.total)
        else:
            answer = message
    return answer


def _explained(place: Place, told: Problem) -> str:
    return f"source {place.source!r}: {_EXPLANATIONS[told.problem](place, told)}"


def _unreachable(_: Place, told: Problem) -> str:
    return (
        f"the hub at {told.endpoint} cannot be reached ({told.said}). Connect to the network, set a mirror "
        f"(HF_ENDPOINT=URL) or a proxy (HTTPS_PROXY=URL). {_ELSEWHERE}"
    )


def _offline(place: Place, told: Problem) -> str:
    return (
        f"{place.where} is not in the hub's cache {told.cache}, or not all of it, and the network is "
        f"switched off ({told.said}). Fetch it once without HF_HUB_OFFLINE, set HF_HOME to where it "
        "lies, or use file:FOLDER"
    )


def _denied(place: Place, told: Problem) -> str:
    token = "the token in HF_TOKEN (or of `hf auth login`)"  # noqa: S105 - where to look for one
    return (
        f"the hub at {told.endpoint} does not let you have {place.where} ({told.said}). It is private or "
        f"gated: accept its terms on its page there, and see that {token} may read it"
    )


def _no_repository(place: Place, told: Problem) -> str:
    near = f" Nearest that it has: {listing(told.names)}." if told.names else ""
    return (
        f"the hub at {told.endpoint} shows no repository {place.where} ({told.said}).{near} If it is "
        "private, set HF_TOKEN to a token that may read it"
    )


def _no_revision(place: Place, told: Problem) -> str:
    near = f" It has {listing(told.names)}" if told.names else ""
    return f"{place.where} has no revision {place.revision!r} at {told.endpoint} ({told.said}).{near}"


def _no_file(place: Place, told: Problem) -> str:
    return f"{place.where} {told.said}. Nearest of its files: {listing(told.names)}"


def _answer(place: Place, told: Problem) -> str:
    return (
        f"the hub at {told.endpoint} does not give {place.where}: {told.said}. Try again later. {_ELSEWHERE}"
    )


def _not_a_hub(_: Place, told: Problem) -> str:
    return (
        f"what answers at {told.endpoint} is no hub ({told.said}). Look at HF_ENDPOINT, at the proxy, and "
        f"whether the network asks for a login first. {_ELSEWHERE}"
    )


def _no_space(_: Place, told: Problem) -> str:
    return (
        f"no space left in the hub's cache {told.cache} ({told.said}): make room there, or set HF_HOME to a "
        "larger disk"
    )


def _not_writable(_: Place, told: Problem) -> str:
    return f"cannot write the hub's cache {told.cache} ({told.said}): set HF_HOME to a directory you own"


def _broken_off(_: Place, told: Problem) -> str:
    return (
        f"the download from {told.endpoint} broke off: {told.said}. Nothing of that file was kept; those "
        "that were whole are not fetched again. Try again"
    )


def _pointer(_: Place, told: Problem) -> str:
    return (
        f"the hub at {told.endpoint} serves a git-lfs pointer instead of the content: {told.said}. The "
        "mirror does not hold the large files: set HF_ENDPOINT to another one, or take the weights "
        "from elsewhere with overlay:"
    )


def _content(_: Place, told: Problem) -> str:
    return (
        f"the hub at {told.endpoint} serves another file than the commit holds: {told.said}. It was removed "
        "from the hub's cache; try again, or set HF_ENDPOINT to another mirror"
    )


_EXPLANATIONS: Final[Mapping[Kind, Callable[[Place, Problem], str]]] = {
    "unreachable": _unreachable,
    "offline": _offline,
    "denied": _denied,
    "repository": _no_repository,
    "revision": _no_revision,
    "file": _no_file,
    "answer": _answer,
    "not_a_hub": _not_a_hub,
    "no_space": _no_space,
    "not_writable": _not_writable,
    "broken_off": _broken_off,
    "pointer": _pointer,
    "content": _content,
}


def _without_secrets(text: str) -> str:
    """HF_ENDPOINT and proxies may hold a password, and servers may repeat what they were shown."""
    return without_passwords(without_tokens(text))
