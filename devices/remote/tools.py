"""The programs without which our scripts do nothing right on a device; all others have a substitute.

What hashes (devices/remote/sending.py), locks (flock, else this machine's own lock), pins (taskset, where the
device's file asks for it), times out (timeout, else the host waits) and measures disks (du, df) is not here.
"""

from collections.abc import Iterable

NEEDED = (
    *("cat", "chmod", "cp", "env", "find", "grep", "ls", "mkdir", "mv"),
    *("printf", "rm", "sed", "sleep", "sort", "tar", "touch", "xargs"),
)
"""What is built into the shell counts as well."""

LIST_MISSING = (
    f"for tool in {' '.join(NEEDED)}; do "
    'command -v "$tool" >/dev/null 2>&1 || { missing="$missing $tool"; }; done'
)
"""Sets `$missing`, which has to be empty before; starts no process."""


def lacking(device: str, missing: Iterable[str]) -> str:
    """The message for a device that has not all of NEEDED."""
    return (
        f"{device}: it has no {', '.join(missing)}, without which nothing can be run there: install toybox "
        "or busybox, with links for their commands on its PATH"
    )
