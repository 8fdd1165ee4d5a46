"""Compile packages for a device's Python on this machine: importing from source is slow on a slow board."""

import subprocess
from contextlib import suppress
from pathlib import Path

from harness.errors import UnsupportedError
from harness.interpreters import find_python

TIMEOUT_S = 600.0

NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
"""Keeps a launch from writing into what is staged on a device."""


def compile_packages(folder: Path, version: str) -> bool:
    """Byte-compile `folder` for CPython `version`; False when this machine has no such Python.

    Bytecode belongs to a version of Python and to no processor. It is marked as unchecked, because the clock
    and the modification times of a board mean nothing.
    """
    try:
        python = find_python(version)
    except UnsupportedError:
        return False
    # -d: what is recorded as a file's name does not depend on where it was compiled.
    command = [str(python), "-I", "-m", "compileall", "-q", "-d", folder.name]
    command += ["--invalidation-mode", "unchecked-hash", str(folder)]
    # Exit code 1: some file is no Python of this version, as templates in packages are. The rest is compiled.
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, check=False, timeout=TIMEOUT_S)
    return True
