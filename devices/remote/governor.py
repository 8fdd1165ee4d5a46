"""The cpufreq governor: set for a measurement and put back, also after a host that died in between.

Kernel documentation: admin-guide/pm/cpufreq, "Policy Interface in sysfs". The former values lie in a file on
the device, with the boot they belong to: a reboot puts them back by itself.
"""

from devices.base import Completed
from devices.remote.shell import Shell, complaint, quote, quoted_path

CPUS = "/sys/devices/system/cpu"

_NO_CPUFREQ, _UNAVAILABLE, _NOT_KEPT, _NOT_TAKEN = 20, 21, 22, 23

# A state file of an earlier boot says nothing. `put VALUE FILE` writes with what rights there are; whether
# it worked is what the file says afterwards.
_PRELUDE = """
state={state}
boot=none
IFS= read -r boot </proc/sys/kernel/random/boot_id
put() {{
    if [ -w "$2" ]; then printf '%s\\n' "$1" >"$2"
    elif command -v sudo >/dev/null; then printf '%s\\n' "$1" | sudo -n tee "$PWD/$2" >/dev/null
    else echo "no right to write $2, and no sudo" >&2; fi
}}
is() {{ now=; IFS= read -r now <"$2"; [ "$now" = "$1" ]; }}
put_back() {{
    failed=
    while read -r cpu was; do
        file="$cpu/cpufreq/scaling_governor"
        [ -e "$file" ] || continue
        is "$was" "$file" || put "$was" "$file" </dev/null
        is "$was" "$file" || failed="$failed $cpu: $now instead of $was."
    done
    [ -z "$failed" ]
}}
left=
if [ -r "$state" ]; then
    read -r left <"$state"
    [ "$left" = "$boot" ] || {{ left=; rm -f "$state"; }}
fi
cd {root} 2>/dev/null || exit {no_cpufreq}
"""

_SET = """
wanted={wanted}
set -- cpu[0-9]*/cpufreq/scaling_governor
[ -r "$1" ] || exit {no_cpufreq}
for file in "$@"; do
    choice=
    IFS= read -r choice 2>/dev/null <"${{file%governor}}available_governors" || [ -n "$choice" ] || continue
    case " $choice " in
    *" $wanted "*) ;;
    *) echo "$choice"; exit {unavailable};;
    esac
done
if [ -z "$left" ]; then
    {{ echo "$boot"; for file in "$@"; do
        IFS= read -r was <"$file"; echo "${{file%%/*}} $was"
    done; }} >"$state.new" && mv -f "$state.new" "$state" || exit {not_kept}
fi
for file in "$@"; do
    is "$wanted" "$file" || put "$wanted" "$file"
    is "$wanted" "$file" && continue
    echo "${{file%%/*}} stays at $now"
    {{ read -r left; put_back; }} <"$state" && rm -f "$state"
    exit {not_taken}
done
"""

_PUT_BACK = """
[ -n "$left" ] || exit 0
{{ read -r left; put_back; }} <"$state" || {{ echo "$failed"; exit {not_taken}; }}
rm -f "$state"
"""


class Governor:
    """The governor of every CPU that has one, a KeptSetting; `value` is the one to set, if any.

    `state_file`, an absolute path there, keeps what was there before the first `set` until `put_back`;
    `root` is where the kernel shows its CPUs.
    """

    name = "governor"

    def __init__(self, shell: Shell, state_file: str, value: str | None, *, root: str = CPUS) -> None:
        self._shell = shell
        self._state_file = state_file
        self._value = value
        self._root = root

    @property
    def wanted(self) -> bool:
        """See KeptSetting."""
        return self._value is not None

    def set(self) -> str | None:
        """Give every CPU the governor and see that it took; otherwise why not, and nothing changed.

        What an earlier session left set counts as already changed: the values from before it are kept.
        """
        value = self._value or ""
        done = self._call(_SET, attempted=f"set the governor {value}", wanted=quote(value))
        printed = done.stdout.decode(errors="replace").strip()
        match done.exit_code:
            case 0:
                return None
            case code if code == _NO_CPUFREQ:
                return "it has no cpufreq: firmware or hypervisor choose its frequency"
            case code if code == _UNAVAILABLE:
                return f"no governor {value!r}; it has: {', '.join(printed.split()) or 'none'}"
            case code if code == _NOT_KEPT:
                return f"the values of before cannot be kept in {self._state_file}: {complaint(done)}"
            case code if code == _NOT_TAKEN:
                return f"{printed}: {_refusal(done)}"
            case _:
                return complaint(done)

    def put_back(self) -> str | None:
        """Give every CPU back what it had before `set`, also one of a session that died; else why not.

        Nothing to put back is no failure. What could not be put back is tried again by the next call.
        """
        done = self._call(_PUT_BACK, attempted="put the governor back")
        if done.exit_code == 0:
            return None
        if done.exit_code == _NOT_TAKEN:
            return f"{done.stdout.decode(errors='replace').strip()} {_refusal(done)}"
        return complaint(done)

    def _call(self, script: str, *, attempted: str, wanted: str = "") -> Completed:
        codes = {
            "no_cpufreq": _NO_CPUFREQ,
            "unavailable": _UNAVAILABLE,
            "not_kept": _NOT_KEPT,
            "not_taken": _NOT_TAKEN,
        }
        prelude = _PRELUDE.format(state=quoted_path(self._state_file), root=quote(self._root), **codes)
        return self._shell.call(prelude + script.format(wanted=wanted, **codes), attempted=attempted)


def _refusal(done: Completed) -> str:
    said = f" ({complaint(done)})" if done.stderr.strip() else ""
    return f"not permitted{said}; governors need root, or a sudoers line for `sudo -n tee`"
