"""A phone's screen: kept on while it is measured, since with it off big cores may be slow or parked.

`svc power stayon` wakes the phone and writes the setting `stay_on_while_plugged_in`, a mask of the plugs that
count, or not there at all, which means AC. Source: AOSP, cmds/svc/.../PowerCommand.java and
services/core/java/com/android/server/power/PowerManagerService.java. Unlike a governor the setting outlives a
reboot; so what it was before is put back whatever the boot, unless somebody else has changed it since.
"""

from devices.base import Completed
from devices.remote.kept import SUFFIX
from devices.remote.shell import Shell, complaint, quoted_path

_NO_COMMANDS, _UNREADABLE, _NOT_KEPT, _NOT_TAKEN = 20, 21, 22, 23

# The state file: what was there, then what `svc` made of it. Without the second, a session died in between.
_PRELUDE = """
state={state}
name=stay_on_while_plugged_in
for tool in settings svc; do
    command -v "$tool" >/dev/null || {{ echo "it has no $tool"; exit {no_commands}; }}
done
look() {{
    now=$(settings get global "$name" </dev/null)
    case $now in null) ;; '' | *[!0-9]*) echo "$now"; exit {unreadable};; esac
}}
was= ours=
[ ! -r "$state" ] || {{ read -r was; read -r ours; }} <"$state"
look
"""

# What was there is written down before it is changed. What is there now and is not ours is somebody's choice.
_SET = """
if [ -z "$was" ] || {{ [ -n "$ours" ] && [ "$now" != "$ours" ]; }}; then was=$now; fi
printf '%s\\n' "$was" >"$state.new" && mv -f "$state.new" "$state" || exit {not_kept}
svc power stayon true </dev/null >&2
look
case $now in null | 0) rm -f "$state"; exit {not_taken};; esac
printf '%s\\n%s\\n' "$was" "$now" >"$state.new" && mv -f "$state.new" "$state" || exit {not_kept}
"""

_PUT_BACK = """
[ -n "$was" ] || {{ rm -f "$state"; exit 0; }}
[ -z "$ours" ] || [ "$now" = "$ours" ] || {{ rm -f "$state"; exit 0; }}
if [ "$now" != "$was" ]; then
    case $was in
    null) settings delete global "$name";;
    *) settings put global "$name" "$was";;
    esac </dev/null >&2
    look
fi
[ "$now" = "$was" ] || {{ echo "$now instead of $was"; exit {not_taken}; }}
rm -f "$state"
"""


class StayOn:
    """The screen of a phone that is plugged in stays on; a KeptSetting.

    A phone that is locked stays so: it is only woken. What came of it is `screen_on` in its telemetry.
    """

    name = "screen"

    def __init__(self, shell: Shell, workdir: str, *, wanted: bool) -> None:
        self._shell = shell
        self._state_file = f"{workdir}/{self.name}{SUFFIX}"
        self.wanted = wanted

    def set(self) -> str | None:
        """Wake the phone and keep it on; what an earlier session left set counts as changed already."""
        done = self._call(_SET, attempted="keep its screen on")
        match done.exit_code:
            case 0:
                return None
            case code if code == _NOT_KEPT:
                return f"what it is set to now cannot be kept in {self._state_file}: {complaint(done)}"
            case code if code == _NOT_TAKEN:
                return f"svc power stayon true has no effect{_why(done)}: does a device policy forbid it?"
            case _:
                return _told(done)

    def put_back(self) -> str | None:
        """Make it what it was, unless somebody has changed it meanwhile; else why not.

        Nothing to put back is no failure. What could not be put back is tried again by the next session.
        """
        done = self._call(_PUT_BACK, attempted="put its screen's setting back")
        match done.exit_code:
            case 0:
                return None
            case code if code == _NOT_TAKEN:
                return f"stay_on_while_plugged_in stays at {_printed(done)}{_why(done)}"
            case _:
                return _told(done)

    def _call(self, script: str, *, attempted: str) -> Completed:
        codes = {
            "no_commands": _NO_COMMANDS,
            "unreadable": _UNREADABLE,
            "not_kept": _NOT_KEPT,
            "not_taken": _NOT_TAKEN,
        }
        line = (_PRELUDE + script).format(state=quoted_path(self._state_file), **codes)
        return self._shell.call(line, attempted=attempted)


def _told(done: Completed) -> str:
    """Why it was not even tried."""
    if done.exit_code == _NO_COMMANDS:
        return f"{_printed(done)}, as Android has"
    if done.exit_code == _UNREADABLE:
        return f"its setting cannot be read: {_printed(done) or complaint(done)}"
    return complaint(done)


def _why(done: Completed) -> str:
    return f" ({complaint(done)})" if done.stderr.strip() else ""


def _printed(done: Completed) -> str:
    return done.stdout.decode(errors="replace").strip()[:300]
