"""Compile packages for a device's Python on this machine: importing from source is slow on a slow board."""

import subprocess
from pathlib import Path

from harness.errors import PocketbenchError, UnsupportedError
from harness.interpreters import find_python

TIMEOUT_S = 600.0

NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
"""Keeps a launch from writing into what is staged on a device."""


def can_compile(version: str) -> bool:
    """Whether this machine has the CPython that compiles for CPython `version`."""
    try:
        find_python(version)
    except UnsupportedError:
        return False
    return True


def compile_packages(folder: Path, version: str) -> None:
    """Byte-compile `folder` for CPython `version`; raises UnsupportedError unless `can_compile`.

    Bytecode belongs to a version of Python and to no processor. It is marked as unchecked, because the clock
    and the modification times of a board mean nothing.
    """
    # -d: what is recorded as a file's name does not depend on where it was compiled.
    command = [str(find_python(version)), "-I", "-m", "compileall", "-q", "-d", folder.name]
    command += ["--invalidation-mode", "unchecked-hash", str(folder)]
    # Exit code 1: some file is no Python of this version, as templates in packages are. The rest is compiled.
    try:
        subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise PocketbenchError(
            f"compiling for Python {version} did not end within {TIMEOUT_S:.0f} s: is this machine busy?"
        ) from error
