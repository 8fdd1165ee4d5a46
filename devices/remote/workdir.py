"""The work directory on a device: everything pocketbench leaves there lies in it."""

import re

from devices.base import DeviceError
from devices.remote.shell import Shell, quoted_path
from devices.remote.tools import LIST_MISSING, lacking


def prepare_workdir(shell: Shell, wanted: str) -> str:
    """The work directory's absolute path, made, written in and executed in; raises DeviceError."""
    if not wanted.startswith(("/", "~/")) or any(sign in wanted for sign in ":\n\0"):
        # It ends up in PYTHONPATH and LD_LIBRARY_PATH, where a colon ends a directory.
        raise DeviceError(
            f"{shell.device}: workdir {wanted!r} must be absolute or start with ~/, without colons"
        )
    done = shell.call(
        f'missing=; {LIST_MISSING}; [ -z "$missing" ] || {{ echo "$missing"; exit 13; }}; '
        f"mkdir -p {quoted_path(wanted)} && cd {quoted_path(wanted)} && pwd -P || exit 10; "
        "probe=.probe.$$; trap 'rm -f \"$probe\"' EXIT; "
        # Before version 9 Android has no /bin.
        'printf \'#!%s\\nexit 0\\n\' "$(command -v sh)" >"$probe" || { df -Pk . | tail -n 1; exit 11; }; '
        'chmod +x "$probe" && "./$probe" || exit 12',
        attempted=f"prepare its work directory {wanted}",
    )
    printed = done.stdout.decode(errors="surrogateescape").rstrip("\n")
    complained = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][-300:]
    match done.exit_code:
        case 0 if ":" in printed:
            raise DeviceError(
                f"{shell.device}: workdir {wanted!r} is {printed!r} there, with a colon, which ends a "
                "directory in PYTHONPATH: set another `workdir`"
            )
        case 0:
            return printed
        case 11 if re.search(r"\s0\s+\d+%", printed.rpartition("\n")[2]):
            raise DeviceError(
                f"{shell.device}: cannot write its work directory {wanted}: no space left there (0 bytes "
                "free): make room, or set `workdir` in the device's file"
            )
        case 13:
            raise DeviceError(lacking(shell.device, printed.split()))
        case 12:
            raise DeviceError(
                f"{shell.device}: programs do not run in its work directory {wanted} ({complained}): it is "
                "mounted noexec; set `workdir` in the device's file to a place where they do"
            )
        case _:
            raise DeviceError(
                f"{shell.device}: cannot write its work directory {wanted} ({complained}): "
                "set `workdir` in the device's file"
            )
