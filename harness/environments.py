"""Isolated directories of Python packages, installed by uv for one Python and one platform.

They are never activated: a program is started with `python -s -S` and the directory on PYTHONPATH, so
that it sees these packages and the standard library, nothing else. Conflicting pins never meet.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import uv

from harness.cache import Cache
from harness.errors import PocketbenchError, UnsupportedError
from harness.interpreters import find_python
from harness.package_index import installer_environment
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

NO_WHEEL = ("no wheels with a matching", "no usable wheels")
"""What uv says, in lower case, of a version that is there for other Pythons or platforms only."""


class NoWheelError(UnsupportedError):
    """There are no such packages for the Python and platform, however often they are asked for."""


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
    try:
        entry = cache.entry(
            "environments", {"packages": packages}, lambda path: install(packages, path / "site")
        )
    except NoWheelError as error:
        raise UnsupportedError(str(error)) from error
    return Environment(site=entry / "site", python=python)


def install(packages: Packages, site: Path) -> None:
    """Install `packages` into the new directory `site`, byte-compiled.

    Raises NoWheelError when no such package exists for the Python and platform, UnsupportedError for other
    refusals, PocketbenchError when the package index cannot be reached.
    """
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--target", str(site)]
    command += ["--only-binary", ":all:", "--link-mode", "copy"]
    if packages.platform:
        command += ["--python-version", packages.python, "--python-platform", packages.platform]
    else:
        command += ["--python", str(find_python(packages.python)), "--compile-bytecode"]
    if not packages.dependencies:
        command.append("--no-deps")
    mirrors = "UV_DEFAULT_INDEX, UV_FIND_LINKS"
    printed = run_installer("uv", command, packages, site, mirrors=mirrors, env=installer_environment())
    if printed is None:
        return
    if _says(printed, ("there is no version of",)):
        # Asked for by name, so not this machine's lack: the cell fails instead of being passed over.
        raise PocketbenchError(f"{packages.name} does not exist: {last_lines(printed)}")
    raise refusal(packages, printed, NO_WHEEL)


def run_installer(
    name: str,
    command: Sequence[str],
    packages: Packages,
    site: Path,
    *,
    mirrors: str,
    env: Mapping[str, str],
    unreachable: Sequence[str] = (),
) -> str | None:
    """Run an installer of `packages` into `site`; None when it did, else what it said of the packages.

    `mirrors` are its settings for another index and `env` is what harness/package_index.py makes of them;
    `unreachable`, in lower case, is what it says beyond OFFLINE when there is none. Raises PocketbenchError
    for what has nothing to do with the packages.
    """
    wanted = " ".join(packages.requirements)
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
            env=env,
        )
    except subprocess.TimeoutExpired as error:
        raise PocketbenchError(
            f"installing {wanted} did not end within {INSTALL_TIMEOUT_S:.0f} s: is the package index slow? "
            f"Try again, or point {name} at a mirror ({mirrors})"
        ) from error
    if done.returncode == 0:
        return None
    printed = done.stderr.strip()
    said = f"{name} said: {last_lines(printed)}"
    if "No space left" in printed or "os error 28" in printed:
        folder = site.parent
        free = shutil.disk_usage(folder).free / 2**20
        raise PocketbenchError(
            f"no space left while installing {wanted}: {free:.1f} MiB free in {folder.parent}. Make room "
            f"there or in {name}'s cache, or set POCKETBENCH_CACHE to a larger disk. {said}"
        )
    if _says(printed, (*OFFLINE, *unreachable)):
        raise PocketbenchError(
            f"{wanted} is not in the cache and the package index cannot be reached. "
            f"Connect once, or point {name} at a mirror ({mirrors}). {said}"
        )
    return printed


def refusal(packages: Packages, printed: str, lasting: Sequence[str]) -> UnsupportedError:
    """The error for packages that an installer refused; NoWheelError when it says one of `lasting`."""
    kind = NoWheelError if _says(printed, lasting) else UnsupportedError
    return kind(
        f"{packages.name} cannot be installed for Python {packages.python}"
        f"{' on ' + packages.platform if packages.platform else ''}: {last_lines(printed)}"
    )


def last_lines(printed: str, lines: int = 4) -> str:
    """The end of what an installer said, in one line; that is where it says why."""
    return " ".join(line.strip() for line in printed.splitlines()[-lines:])


def installed_versions(site: Path) -> dict[str, str]:
    """Distribution names and versions found in a directory of packages."""
    found = {}
    for info in sorted(site.glob("*.dist-info")):
        name, _, version = info.name.removesuffix(".dist-info").partition("-")
        found[name] = version
    return found


def _says(printed: str, signs: Sequence[str]) -> bool:
    """Whether one of `signs` is in it, however its lines are broken."""
    flat = " ".join(printed.lower().split())
    return any(sign in flat for sign in signs)
