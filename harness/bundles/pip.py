"""Install wheels for 32-bit ARM, a platform that uv has no name for, with pip."""

import re
from pathlib import Path

import uv

from harness.environments import Packages, refusal, run_installer
from harness.errors import UnsupportedError
from harness.package_index import pip_environment

PIP = "pip==26.3"

UNREACHABLE = ("retrying (", "newconnectionerror", "could not fetch url")
"""What pip says, in lower case, when it cannot reach a package index; uv, which fetches pip, says OFFLINE."""

NO_WHEEL = ("no matching distribution found",)
"""What pip says, in lower case, when an index has nothing that fits."""


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

    Raises NoWheelError when there is no such wheel, PocketbenchError when the index cannot be reached.
    """
    command = [uv.find_uv_bin(), "tool", "run", "--quiet", "--from", PIP, "pip", "install", "--quiet"]
    command += ["--target", str(site), "--no-compile", "--only-binary", ":all:", "--no-input"]
    command += ["--python-version", packages.python, "--implementation", "cp"]
    command += [f"--platform={tag}" for tag in platform_tags(packages.platform or "")]
    if not packages.dependencies:
        command.append("--no-deps")
    printed = run_installer(
        "pip",
        command,
        packages,
        site,
        mirrors="PIP_INDEX_URL, PIP_FIND_LINKS",
        env=pip_environment(),
        unreachable=UNREACHABLE,
    )
    if printed is not None:
        raise refusal(packages, printed.replace("ERROR: ", ""), NO_WHEEL)
