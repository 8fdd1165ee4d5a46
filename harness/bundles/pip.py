"""Install wheels for 32-bit ARM, a platform that uv has no name for, with pip."""

import re
import shutil
import subprocess
from pathlib import Path

import uv

from harness.environments import INSTALL_TIMEOUT_S, OFFLINE, Packages
from harness.errors import PocketbenchError, UnsupportedError

PIP = "pip==26.3"

UNREACHABLE = ("retrying (", "newconnectionerror", "could not fetch url")
"""What pip says, in lower case, when it cannot reach a package index; see OFFLINE for uv."""


def needs_pip(platform: str) -> bool:
    """Whether `platform`, as harness/platforms.py names it, is one that only pip can install for."""
    return platform.startswith("armv")


def platform_tags(platform: str) -> tuple[str, ...]:
    """Wheel tags (PEP 600) that fit `armv7l-manylinux_2_36`, the best first."""
    found = re.fullmatch(r"(armv\dl)-manylinux_2_(\d+)", platform)
    if found is None:
        raise UnsupportedError(f"{platform} is no platform that pip is used for")
    arch, minor = found[1], int(found[2])
    # `linux_` is what indexes for one kind of board use; no manylinux is defined for ARM before version 7.
    plain = (f"linux_{arch}",) if arch == "armv6l" else (f"linux_{arch}", "linux_armv6l")
    if arch == "armv6l":
        return plain
    return (*(f"manylinux_2_{n}_{arch}" for n in range(minor, 16, -1)), f"manylinux2014_{arch}", *plain)


def pip_install(packages: Packages, site: Path) -> None:
    """Install `packages` into the new directory `site`; pip's own settings name the index.

    Raises UnsupportedError when there is no such wheel, PocketbenchError when the index cannot be reached.
    """
    command = [uv.find_uv_bin(), "tool", "run", "--quiet", "--from", PIP, "pip", "install", "--quiet"]
    command += ["--target", str(site), "--no-compile", "--only-binary", ":all:", "--no-input"]
    command += ["--python-version", packages.python, "--implementation", "cp"]
    command += [f"--platform={tag}" for tag in platform_tags(packages.platform or "")]
    if not packages.dependencies:
        command.append("--no-deps")
    wanted = " ".join(packages.requirements)
    try:
        done = subprocess.run(
            [*command, *packages.requirements],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=INSTALL_TIMEOUT_S,
            cwd="/",
        )
    except subprocess.TimeoutExpired as error:
        raise PocketbenchError(
            f"installing {wanted} did not end within {INSTALL_TIMEOUT_S:.0f} s: is the package index slow? "
            "Try again, or point pip at a mirror (PIP_INDEX_URL)"
        ) from error
    if done.returncode != 0:
        shutil.rmtree(site, ignore_errors=True)
        raise _error(packages, wanted, done.stderr)


def _error(packages: Packages, wanted: str, printed: str) -> PocketbenchError:
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("ERROR:")), (lines or ["it printed nothing"])[-1])
    said = said.removeprefix("ERROR: ")
    if "No space left" in printed:
        return PocketbenchError(f"no space left while installing {wanted}. pip said: {said}")
    # uv fetches pip, pip the wheels.
    if any(sign in printed.lower() for sign in (*UNREACHABLE, *OFFLINE)):
        return PocketbenchError(
            f"{wanted} cannot be fetched: the package index cannot be reached. Connect once, or point pip at "
            f"a mirror (PIP_INDEX_URL, PIP_FIND_LINKS). pip said: {said}"
        )
    return UnsupportedError(
        f"{packages.name} cannot be installed for Python {packages.python} on {packages.platform}: {said}"
    )
