"""Isolated directories of Python packages, installed by uv for one Python and one platform.

They are never activated: a program is started with `python -s -S` and the directory on PYTHONPATH, so
that it sees these packages and the standard library, nothing else. Conflicting pins never meet.
"""

import shutil
import subprocess
from pathlib import Path

import uv

from harness.cache import Cache
from harness.errors import PocketbenchError, UnsupportedError
from harness.interpreters import find_python
from harness.spec import Frozen

INSTALL_TIMEOUT_S = 1800.0

ISOLATED = ("-s", "-S")
"""Interpreter flags: no user packages, no site-packages of the interpreter's own."""

OFFLINE = (
    "network was disabled",
    "network connectivity is disabled",
    "error sending request",
    "failed to fetch",
    "connection refused",
    "connect error",
    "dns error",
    "timed out",
)
"""What uv says, in lower case, when it cannot reach a package index."""


class Packages(Frozen, frozen=True, kw_only=True):
    """What to install: exact requirements, for a Python `3.11` and a platform (None: this machine)."""

    name: str
    requirements: tuple[str, ...]
    python: str
    platform: str | None = None
    dependencies: bool = True


class Environment(Frozen, frozen=True, kw_only=True):
    """An installed directory and the interpreter on this machine that runs it."""

    site: Path
    python: Path

    def command(self, *arguments: str) -> list[str]:
        """Argument list that starts the environment's Python."""
        return [str(self.python), *ISOLATED, *arguments]

    def variables(self) -> dict[str, str]:
        """Environment variables that show the packages to the interpreter."""
        return {"PYTHONPATH": str(self.site), "PYTHONDONTWRITEBYTECODE": "1"}


def environment(cache: Cache, packages: Packages) -> Environment:
    """The environment for `packages`, installed when it is not there yet."""
    python = find_python(packages.python)
    entry = cache.entry("environments", {"packages": packages}, lambda path: install(packages, path / "site"))
    return Environment(site=entry / "site", python=python)


def install(packages: Packages, site: Path) -> None:
    """Install `packages` into the new directory `site`, byte-compiled.

    Raises UnsupportedError when no such package exists for the Python and platform, PocketbenchError
    when the package index cannot be reached.
    """
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--target", str(site)]
    command += ["--only-binary", ":all:", "--link-mode", "copy"]
    if packages.platform:
        command += ["--python-version", packages.python, "--python-platform", packages.platform]
    else:
        command += ["--python", str(find_python(packages.python)), "--compile-bytecode"]
    if not packages.dependencies:
        command.append("--no-deps")
    try:
        done = subprocess.run(
            [*command, *packages.requirements],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=INSTALL_TIMEOUT_S,
            # Away from any project: its pins are not for this environment. The user's own settings count.
            cwd="/",
        )
    except subprocess.TimeoutExpired as error:
        raise PocketbenchError(
            f"installing {' '.join(packages.requirements)} did not end within {INSTALL_TIMEOUT_S:.0f} s: "
            "is the package index slow? Try again, or point uv at a mirror (UV_DEFAULT_INDEX)"
        ) from error
    if done.returncode != 0:
        raise _install_error(packages, done.stderr.strip(), site.parent)


def installed_versions(site: Path) -> dict[str, str]:
    """Distribution names and versions found in a directory of packages."""
    found = {}
    for info in sorted(site.glob("*.dist-info")):
        name, _, version = info.name.removesuffix(".dist-info").partition("-")
        found[name] = version
    return found


def _install_error(packages: Packages, printed: str, folder: Path) -> PocketbenchError:
    wanted = " ".join(packages.requirements)
    if "No space left" in printed or "os error 28" in printed:
        free = shutil.disk_usage(folder).free / 2**20
        return PocketbenchError(
            f"no space left while installing {wanted}: {free:.1f} MiB free in {folder.parent}. Make room "
            f"there or in uv's cache, or set POCKETBENCH_CACHE to a larger disk. uv said: {_tail(printed)}"
        )
    if any(sign in printed.lower() for sign in OFFLINE):
        return PocketbenchError(
            f"{wanted} is not in the cache and the package index cannot be reached. "
            "Connect once, or point uv at a mirror (UV_DEFAULT_INDEX, UV_FIND_LINKS). "
            f"uv said: {_tail(printed)}"
        )
    if "there is no version of" in printed.lower():
        # Asked for by name, so not this machine's lack: the cell fails instead of being passed over.
        return PocketbenchError(f"{packages.name} does not exist: {_tail(printed)}")
    return UnsupportedError(
        f"{packages.name} cannot be installed for Python {packages.python}"
        f"{' on ' + packages.platform if packages.platform else ''}: {_tail(printed)}"
    )


def _tail(printed: str, lines: int = 4) -> str:
    return " ".join(line.strip() for line in printed.splitlines()[-lines:])
