"""`pypi:` sources: files of a published wheel; nothing of the package is run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import uv

from harness.errors import PocketbenchError
from harness.models.forms import Place
from harness.models.sources.folders import chosen_files, files_in, listing, nearest
from harness.package_index import installer_environment

_SWITCHED_OFF: Final = re.compile("network (was|connectivity is) disabled", re.IGNORECASE)
_OFFLINE: Final = re.compile(
    f"{_SWITCHED_OFF.pattern}|error sending request|failed to fetch|dns error|timed out", re.IGNORECASE
)


def fetch_member(place: Place, target: Path) -> None:
    """Write the file or folder of a wheel that `place` means to `target`.

    Raises PocketbenchError when the index has no such package, the wheel no such member, or the index cannot
    be reached.
    """
    member = place.member or ""
    tree = target.with_name(".unpacked")
    _install(place, tree)
    found = tree / member
    if not (found.is_dir() if member.endswith("/") else found.is_file()):
        raise PocketbenchError(_no_member(place, member, tree))
    # Copied, not moved: uv may have linked it into its own cache, which no one here shall touch.
    if found.is_file():
        shutil.copyfile(found, target)
    else:
        for path in chosen_files(found, place):
            copy = target / path.relative_to(found)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    shutil.rmtree(tree)


def _install(place: Place, tree: Path) -> None:
    """Unpack a package's wheel into `tree`, without what it depends on and without building anything."""
    source, requirement = place.source, place.where
    command = [uv.find_uv_bin(), "pip", "install", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-progress", "--python", sys.executable, "--target", str(tree), requirement]
    done = subprocess.run(
        command,
        # Not where pocketbench was started: a project's own constraints on versions are not the zoo's.
        cwd=tree.anchor,
        env=installer_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return
    said = _told(done.stderr)
    if "No space left" in done.stderr or "os error 28" in done.stderr:
        raise PocketbenchError(
            f"source {source!r}: no space left while unpacking {requirement} ({_free_mib(tree)} MiB free in "
            f"{tree.parent}): make room there or in uv's cache, or set POCKETBENCH_CACHE to a larger disk"
        )
    if _OFFLINE.search(done.stderr):
        raise PocketbenchError(
            f"source {source!r}: could not get {requirement} from the package index ({_why(done.stderr)}). "
            "Once fetched it is cached and works offline; until then connect to the network, set a mirror "
            "(UV_DEFAULT_INDEX=URL) or a proxy (HTTPS_PROXY=URL), or put the file beside the zoo and use "
            "file:PATH"
        )
    raise PocketbenchError(
        f"source {source!r}: the package index has no wheel of {requirement} for this Python; uv says: {said}"
    )


def _free_mib(tree: Path) -> int:
    return shutil.disk_usage(tree.parent).free >> 20


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


def _no_member(place: Place, member: str, tree: Path) -> str:
    members = [path.relative_to(tree).as_posix() for path in files_in(tree)]
    if member.endswith("/"):
        members = sorted({f"{Path(one).parent.as_posix()}/" for one in members if "/" in one})
    what = "folders" if member.endswith("/") else "files"
    return (
        f"source {place.source!r}: {place.where} holds no {member}. "
        f"Nearest of its {what}: {listing(nearest(member, members))}"
    )
