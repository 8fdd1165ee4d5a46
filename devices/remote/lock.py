"""The lock that lies on the device itself: two hosts may share a board, and neither sees the other's disk.

It is the kernel's (flock), held by a shell that lives as long as our connection: whoever dies or is cut off
lets go of it. Only a connection that was lost without the device noticing, such as a sleeping laptop's, still
holds it there. When that was our own, or that of a process of this machine that is no more, we end it.
"""

import getpass
import hashlib
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from devices.base import DeviceBusyError, DeviceError
from devices.remote.shell import Shell, quote
from devices.remote.transport import Held

POLL_S = 0.5
_log = logging.getLogger(__name__)

_SESSION = re.compile(r"(?P<machine>[0-9a-f]{12})-(?P<pid>\d{1,9})-(?P<started>\d{1,19})-[0-9a-f]{8}")
_HELD, _TAKEN, _NONE = "lock: held", "lock: taken", "lock: none"

# A directory of everybody's, not sticky: two users of a board meet in it, and neither may lead the other to
# write elsewhere. The holder file says which session holds the lock, by which process there, and who that is.
# `9<&9`: in Android's shell (mksh) a command has of what `exec` opened only what it is given.
_SCRIPT = """
dir="${{TMPDIR:-/tmp}}/pocketbench"
(umask 0; mkdir -p "$dir"; [ -L "$dir/lock" ] || : >>"$dir/lock") 2>/dev/null
[ -L "$dir" ] || [ -L "$dir/lock" ] || ! command -v flock >/dev/null || ! [ -r "$dir/lock" ] &&
    {{ echo "{none}"; exit 0; }}
exec 9<"$dir/lock"
if ! flock -n 9 9<&9; then
    read -r session pid who <"$dir/holder"
    case " "{gone}" " in *" $session "*)
        [ "/proc/$pid/fd/9" -ef "$dir/lock" ] && kill -KILL "-$pid" && sleep 0.1 && flock -n 9 9<&9;;
    *) false;; esac || {{ printf '%s %s %s %s\n' "{taken}" "$session" "$pid" "$who"; exit 0; }}
fi 2>/dev/null
(umask 0; set -C; printf '%s %s %s\n' {session} $$ {who} >"$dir/holder.$$" &&
    mv -f "$dir/holder.$$" "$dir/holder") 2>/dev/null
echo "{held}"
cat >/dev/null
"""


class RemoteLock:
    """Life cycle: `acquire`, held until `release` or until the connection ends."""

    def __init__(self, shell: Shell, *, timeout_s: float) -> None:
        self._shell = shell
        self._timeout_s = timeout_s
        self._session = f"{_machine()}-{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"
        self._held: Held | None = None

    def acquire(self, *, timeout_s: float | None = None) -> bool:
        """Take the lock; False when the device has no flock, so that no lock can lie there.

        Waits for another holder; raises DeviceBusyError naming it when the lock is not free in time.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        device, deadline = self._shell.device, time.monotonic() + timeout_s
        told = False
        gone = [self._session]
        while True:
            held, printed = self._shell.hold(self._script(gone), until=f"{_HELD}\n")
            if printed.startswith(_HELD):
                self._held = held
                return True
            held.close()
            if printed.startswith(_NONE):
                return False
            if not printed.startswith(_TAKEN):
                raise DeviceError(f"{device}: cannot lock it: {printed.strip()[-300:] or 'no word why'}")
            session, pid, holder = _holder(printed.removeprefix(_TAKEN))
            if session not in gone and _is_gone(session):
                _log.warning("%s: taking it over from %s, which is no more", device, holder)
                gone.append(session)
                continue
            if time.monotonic() >= deadline:
                raise DeviceBusyError(
                    f"{device}: held by {holder}; still so after waiting {timeout_s:g} s: let the "
                    f"other session finish, or stop it (if it is cut off: `kill -KILL -{pid}` on the device)"
                )
            if not told:
                _log.warning("%s: held by %s; waiting up to %g s", device, holder, timeout_s)
                told = True
            time.sleep(POLL_S)

    def release(self) -> None:
        """Give the lock back; fine when it is not held; never raises."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _script(self, gone: Sequence[str]) -> str:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        who = f"process {os.getpid()} of {getpass.getuser()} on {socket.gethostname()}"
        return _SCRIPT.format(
            none=_NONE,
            taken=_TAKEN,
            held=_HELD,
            session=self._session,
            gone=quote(" ".join(gone)),
            who=quote(f"{who} as {self._shell.device!r} since {now}"),
        )


def _machine() -> str:
    """What tells this machine from others, for as long as it is up."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        boot = ""
    return hashlib.sha256(f"{socket.gethostname()}/{boot}".encode()).hexdigest()[:12]


def _started(pid: int) -> str:
    """When a process of this machine began, in the kernel's ticks; `0` where it does not say."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"


def _is_gone(session: str) -> bool:
    """Whether a session was one of this machine's processes and that process is no more."""
    # Anybody may have written it, and what is gone becomes a word of the next script.
    said = _SESSION.fullmatch(session)
    if said is None or said["machine"] != _machine() or said["started"] == "0":
        return False
    return _started(int(said["pid"])) != said["started"]


def _holder(printed: str) -> tuple[str, str, str]:
    """Session, process number there, and who it is."""
    session, _, rest = printed.strip().partition(" ")
    pid, _, who = rest.partition(" ")
    return session, pid if pid.isdigit() else "PID", who.strip() or "another session"
