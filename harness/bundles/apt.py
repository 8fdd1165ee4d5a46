"""Packages of this machine's own distribution for another processor, through its own apt configuration.

Nothing of the machine is changed: apt gets a state and a cache of its own, in which nothing is installed
and the other architecture is the only one.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.errors import PocketbenchError, UnsupportedError

TIMEOUT_S = 900.0

UNREACHABLE = (
    "Failed to fetch",
    "Could not resolve",
    "Could not connect",
    "Temporary failure",
    "Unable to connect",
)


class Apt:
    """The machine's package sources, seen as Debian architecture `architecture`, with its files in `root`.

    Life cycle: made (the lists of packages are fetched), then asked. Raises UnsupportedError on a machine
    that has no apt-get or dpkg-deb, which begins with what the packages are for, `purpose`, and ends with
    what else can be done, `otherwise`.
    """

    def __init__(
        self,
        architecture: str,
        root: Path,
        *,
        purpose: str = "a Python and a C library for the device come from Debian's packages",
        otherwise: str = ", or install Python 3.8 or newer on the device",
    ) -> None:
        missing = [tool for tool in ("apt-get", "apt-cache", "dpkg-deb") if shutil.which(tool) is None]
        if missing:
            raise UnsupportedError(
                f"{purpose}, and this machine has no {' and no '.join(missing)}: build on Debian or Ubuntu"
                f"{otherwise}"
            )
        self.architecture = architecture
        self._root = root
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True)
        (root / "status").touch()
        # One source of several that fails is only complained of: what is needed may lie in the others.
        self._complaints = self._run("apt-get", "update", "-qq").stderr

    def show(self, package: str) -> dict[str, str]:
        """Fields of a package's candidate version, such as `Version` and `Depends`.

        Raises UnsupportedError when the sources have no such package for the architecture.
        """
        try:
            printed = self._run("apt-cache", "show", "--no-all-versions", package).stdout
        except UnsupportedError as error:
            _raise_if_unreachable("apt-get", self._complaints)
            raise UnsupportedError(
                f"this machine's apt sources have no package {package} for {self.architecture} "
                f"(are they limited to another architecture?): {error}"
            ) from error
        fields = (line.partition(":") for line in printed.splitlines() if re.match(r"[A-Za-z-]+:", line))
        return {name: value.strip() for name, _, value in fields}

    def dependencies(self, package: str) -> tuple[str, ...]:
        """Names a package depends on, the first of each list of alternatives."""
        shown = self.show(package)
        named = [*shown.get("Pre-Depends", "").split(","), *shown.get("Depends", "").split(",")]
        return tuple(match[1] for part in named if (match := re.match(r"\s*([a-z0-9.+-]+)", part)))

    def unpack(self, packages: Sequence[str], target: Path) -> None:
        """Download `packages`, which apt checks against their signed lists, and unpack them into `target`."""
        folder = self._root / "debs"
        folder.mkdir(exist_ok=True)
        self._run("apt-get", "download", "-qq", *packages, cwd=folder)
        for archive in sorted(folder.glob("*.deb")):
            self._run_plain(["dpkg-deb", "-x", str(archive), str(target)])

    def _run(
        self, program: str, *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        settings = {
            "Dir::State": self._root / "state",
            "Dir::State::status": self._root / "status",
            "Dir::Cache": self._root / "cache",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "Acquire::Languages": "none",
            # Its own user could not write here.
            "APT::Sandbox::User": "root",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        return self._run_plain([program, *options, *arguments], cwd=cwd)

    def _run_plain(self, command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=TIMEOUT_S,
                cwd=cwd or self._root,
            )
        except subprocess.TimeoutExpired as error:
            raise PocketbenchError(
                f"{command[0]} did not end within {TIMEOUT_S:.0f} s: are its sources slow?"
            ) from error
        if done.returncode == 0:
            return done
        _raise_if_unreachable(command[0], done.stderr)
        said = _last(done.stderr)
        if "No space left" in done.stderr:
            raise PocketbenchError(f"no space left for {command[0]} in {self._root}. It said: {said}")
        raise UnsupportedError(f"{command[0]} said: {said}")


def _raise_if_unreachable(program: str, printed: str) -> None:
    if any(sign in printed for sign in UNREACHABLE):
        raise PocketbenchError(
            f"{program} cannot reach this machine's package sources. It said: {_last(printed)}"
        )


def _last(printed: str) -> str:
    return " ".join(line.strip() for line in printed.strip().splitlines()[-3:]) or "it printed nothing"
