"""Find a Python of a given version that really runs.

uv alone is not enough: it meets pyenv's shims by name, which answer with an error, and then tries a
download. So the places where interpreters lie are looked at one by one and each find is started once.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import uv

from harness.errors import UnsupportedError


@cache
def find_python(version: str) -> Path:
    """Path of a CPython `version` ("3.10") on this machine, proven by running it.

    Raises UnsupportedError naming the places that were looked at.
    """
    tried = []
    for candidate in _candidates(version):
        if _is_python(candidate, version):
            return candidate
        tried.append(str(candidate))
    looked = ", ".join(tried) if tried else "nothing found"
    raise UnsupportedError(
        f"no Python {version} on this machine (looked in PATH, ~/.pyenv/versions and uv's own: {looked}). "
        f"Install one, for instance `uv python install {version}` or your system's python{version} package"
    )


def _candidates(version: str) -> Iterator[Path]:
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        # The base interpreter: a virtual environment may be rebuilt under our feet.
        yield Path(sys.base_prefix) / "bin" / f"python{version}"
        yield Path(getattr(sys, "_base_executable", sys.executable))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(f"python{version}", path=folder)
        if found and "shims" not in Path(found).parts:
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for prefix in sorted(pyenv.glob(f"{version}*"), reverse=True):
        yield prefix / "bin" / f"python{version}"
    yield from _managed_by_uv(version)


def _managed_by_uv(version: str) -> Iterator[Path]:
    done = subprocess.run(
        [uv.find_uv_bin(), "python", "find", "--managed-python", "--no-python-downloads", version],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0 and done.stdout.strip():
        yield Path(done.stdout.strip())


def _is_python(candidate: Path, version: str) -> bool:
    if not candidate.is_file():
        return False
    code = "import sys, ctypes, json; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(candidate), "-S", "-c", code], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version
