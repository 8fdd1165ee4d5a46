"""Source distributions: downloaded with pip, checked, kept, and nothing in them run on the way."""

import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import uv

from harness.bundles import unbuilt
from harness.bundles.pip import PIP, UNREACHABLE
from harness.cache import Cache, file_sha256
from harness.environments import OFFLINE, last_lines
from harness.errors import PocketbenchError
from harness.package_index import pip_environment

DOWNLOAD_TIMEOUT_S = 600.0

SHA256 = {("ncnn", "1.0.20261020"): "ad8cdd63e9755cfa8e23b9b6d9ce46156077d80298a89e7c3ba325ffccfca200"}
"""Archives whose content is pinned here; of any other, pip checks what the index says."""


def source_archive(cache: Cache, name: str, version: str) -> Path:
    """The .tar.gz of `name` at `version`, downloaded when it is not in `cache` yet.

    Raises PocketbenchError when there is no such version, when the index cannot be reached, or when the
    archive is another one than is pinned.
    """
    key = {"name": name, "version": version, "sha256": SHA256.get((name, version))}
    folder = cache.entry("sdists", key, lambda path: _download(name, version, path))
    (archive,) = folder.glob("*.tar.gz")
    return archive


def unpacked(archive: Path, target: Path) -> Path:
    """The one directory in `archive`, unpacked into `target`."""
    with tarfile.open(archive) as opened:
        opened.extractall(target, filter="data")
    (tree,) = (path for path in target.iterdir() if path.is_dir())
    return tree


def _download(name: str, version: str, folder: Path) -> None:
    wanted = f"{name}=={version}"
    with TemporaryDirectory(prefix="pocketbench-sdist-") as scratch:
        backend = Path(scratch, "setuptools")
        backend.mkdir()
        (backend / "__init__.py").touch()
        shutil.copyfile(Path(unbuilt.__file__), backend / "build_meta.py")
        command = [uv.find_uv_bin(), "tool", "run", "--quiet", "--from", PIP, "pip", "download"]
        command += ["--quiet", "--no-input", "--no-deps", "--no-build-isolation", "--no-binary", ":all:"]
        command += ["--dest", str(folder), wanted]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=DOWNLOAD_TIMEOUT_S,
                cwd="/",  # away from any project
                env={**pip_environment(), "PYTHONPATH": scratch},
            )
        except subprocess.TimeoutExpired as error:
            raise PocketbenchError(
                f"downloading the source of {wanted} did not end within {DOWNLOAD_TIMEOUT_S:.0f} s: is the "
                "package index slow?"
            ) from error
    if done.returncode != 0:
        raise _refused(wanted, done.stderr)
    _check(wanted, folder, SHA256.get((name, version)))


def _refused(wanted: str, printed: str) -> PocketbenchError:
    said = f"pip said: {last_lines(printed.replace('ERROR: ', ''))}"
    if any(sign in printed.lower() for sign in (*OFFLINE, *UNREACHABLE)):
        return PocketbenchError(
            f"the source of {wanted} is not in the cache and the package index cannot be reached. Connect "
            f"once, or point pip at a mirror (PIP_INDEX_URL, PIP_FIND_LINKS). {said}"
        )
    return PocketbenchError(f"there is no source of {wanted} to build from. {said}")


def _check(wanted: str, folder: Path, sha256: str | None) -> None:
    archives = list(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        raise PocketbenchError(f"the source of {wanted} is no .tar.gz archive")
    found = file_sha256(archives[0])
    if sha256 is not None and found != sha256:
        raise PocketbenchError(
            f"the source of {wanted} is not the file it should be: its sha256 is {found}, expected {sha256}"
        )
