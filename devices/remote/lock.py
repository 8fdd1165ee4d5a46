"""The lock that lies on the device itself: two hosts may share a board, and neither sees the other's disk.

It is the kernel's (flock), held by a shell that lives as long as our connection: whoever dies or is cut off
lets go of it. Only a connection that was lost without the device noticing still holds it there: when it is
our own, we end it.
"""

import getpass
import logging
import os
import secrets
import socket
import time
from datetime import UTC, datetime

from devices.base import DeviceError, TransientDeviceError
from devices.remote.shell import Shell, quote
from devices.remote.transport import Held

POLL_S = 0.5
_log = logging.getLogger(__name__)

_HELD, _TAKEN, _NONE = "lock: held", "lock: taken", "lock: none"

# A directory of everybody's, not sticky: two users of a board meet in it. The holder file says which session
# holds the lock, by which process there, and who that is.
_SCRIPT = """
dir="${{TMPDIR:-/tmp}}/pocketbench"
(umask 0; mkdir -p "$dir"; : >>"$dir/lock") 2>/dev/null
command -v flock >/dev/null && [ -r "$dir/lock" ] || {{ echo "{none}"; exit 0; }}
exec 9<"$dir/lock"
if ! flock -n 9; then
    read -r session pid who <"$dir/holder"
    [ "$session" = {session} ] && [ "/proc/$pid/fd/9" -ef "$dir/lock" ] && kill -KILL "-$pid" &&
        sleep 0.1 && flock -n 9 || {{ printf '%s %s\\n' "{taken}" "$who"; exit 0; }}
fi 2>/dev/null
(umask 0; printf '%s %s %s\\n' {session} $$ {who} >"$dir/holder") 2>/dev/null
echo "{held}"
cat >/dev/null
"""


class RemoteLock:
    """Life cycle: `acquire`, held until `release` or until the connection ends."""

    def __init__(self, shell: Shell, *, timeout_s: float) -> None:
        self._shell = shell
        self._timeout_s = timeout_s
        self._session = secrets.token_hex(8)
        self._held: Held | None = None

    def acquire(self) -> bool:
        """Take the lock; False when the device has no flock, so that no lock can lie there.

        Waits for another holder; raises TransientDeviceError naming it when the lock is not free in time.
        """
        device, deadline = self._shell.device, time.monotonic() + self._timeout_s
        told = False
        while True:
            held, printed = self._shell.hold(self._script(), until=f"{_HELD}\n")
            if printed.startswith(_HELD):
                self._held = held
                return True
            held.close()
            if printed.startswith(_NONE):
                return False
            if not printed.startswith(_TAKEN):
                raise DeviceError(f"{device}: cannot lock it: {printed.strip()[-300:] or 'no word why'}")
            holder = printed.removeprefix(_TAKEN).strip() or "another session"
            if time.monotonic() >= deadline:
                raise TransientDeviceError(
                    f"{device}: held by {holder}; still so after waiting {self._timeout_s:g} s: "
                    "let the other session finish, or stop it"
                )
            if not told:
                _log.warning("%s: held by %s; waiting up to %g s", device, holder, self._timeout_s)
                told = True
            time.sleep(POLL_S)

    def release(self) -> None:
        """Give the lock back; fine when it is not held; never raises."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

    def _script(self) -> str:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        who = f"process {os.getpid()} of {getpass.getuser()} on {socket.gethostname()}"
        return _SCRIPT.format(
            none=_NONE,
            taken=_TAKEN,
            held=_HELD,
            session=self._session,
            who=quote(f"{who} as {self._shell.device!r} since {now}"),
        )
