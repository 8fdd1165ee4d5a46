"""Does a bundle that brings its own Python start on a device? Asked before anything is measured with it.

What forbids it there is explained once, with what to do; as a crash of every case it would explain nothing.
Whatever cannot be explained here is left to the launch, which tells more.
"""

import logging
import re

from devices.base import CommandTimeoutError, Completed, Device, NotStartedError
from harness.arm import Arm
from harness.bundles import Bundle
from harness.errors import UnsupportedError
from harness.spec import BundleInfo

_log = logging.getLogger(__name__)

_PLACE = (
    "the work directory is mounted noexec, or SELinux forbids it; set `workdir` in the device's file to "
    "where programs run, which on a phone is below /data/local/tmp"
)
_SIGNALS = {
    "SIGSYS": "the system forbids a system call that it needs (SIGSYS, exit code 159: a seccomp filter)",
    "SIGILL": "the processor lacks an instruction that it uses (SIGILL)",
}
# What glibc's loader, and Python after it, print of a system or library they cannot use. Source: glibc, elf/
# rtld.c, dl-load.c, dl-map-segments.h. A library is mapped as executable, which noexec and SELinux refuse.
_COMPLAINTS = (
    (re.compile(r"kernel too old"), "the kernel is too old for its C library"),
    (
        re.compile(r"failed to map segment|cannot enable executable stack"),
        f"its libraries may not be executed where they lie ({{said}}): {_PLACE}",
    ),
    (
        re.compile(
            r"error while loading shared libraries|symbol lookup error|undefined symbol|"
            r"cannot open shared object file|version `[^']+' not found|cannot allocate memory in static TLS"
        ),
        "a library of it cannot be loaded ({said})",
    ),
)


class Probes:
    """The answers of a run's devices, each asked once for each bundle: that is one round trip."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], str] = {}

    def check(self, device: Device, bundle: Bundle, arm: Arm, *, timeout_s: float) -> None:
        """Have the bundle of `arm` import its runtime on `device`, if it is `portable` and was not asked yet.

        Raises UnsupportedError saying what forbids it, TransientDeviceError when the connection is lost.
        """
        if bundle.info.kind != "portable":
            return
        key = (device.name, bundle.digest)
        if key not in self._answers:
            self._answers[key] = _obstacle(device, bundle.info, arm, timeout_s)
        if self._answers[key]:
            raise UnsupportedError(self._answers[key])


def _obstacle(device: Device, bundle: BundleInfo, arm: Arm, timeout_s: float) -> str:
    """The whole message; empty when there is nothing in the way."""
    on_phone = device.facts().os == "Android"
    if on_phone:
        _log.warning(
            "%s: portable bundles are validated under emulation, not on a phone: where one does not run or "
            "looks wrong, a `binary` bundle is the way (docs/android.md)",
            device.name,
        )
    try:
        done = device.run(
            [*(arm.python or ()), "-c", f"import runner.backends.{bundle.runtime}_backend"],
            env=arm.staged.environment,
            timeout_s=timeout_s,
        )
    except NotStartedError as error:
        what = _not_started(error, device, bundle)
    except CommandTimeoutError:
        what = ""
    else:
        what = explained(done)
        if done.exit_code != 0 and not what:
            _log.warning("%s: the portable bundle of %s does not start", device.name, bundle.runtime)
    if not what:
        return ""
    page = "docs/android.md" if on_phone else "docs/runtimes.md"
    experimental = "portable bundles are experimental on phones: " if on_phone else ""
    return (
        f"{device.name}: the portable bundle of {bundle.runtime} {bundle.version} does not start there: "
        f"{what}; {experimental}supply a `binary` bundle with --bundle DIR ({page})"
    )


def explained(done: Completed) -> str:
    """What forbade a program to start, as far as how it ended tells; empty when it does not."""
    if done.exit_code == 0 or done.signal:
        return _SIGNALS.get(done.signal or "", "")
    for line in done.stderr.decode(errors="replace").splitlines():
        for complaint, told in _COMPLAINTS:
            if complaint.search(line):
                return told.format(said=line.strip()[:300])
    return ""


def _not_started(error: NotStartedError, device: Device, bundle: BundleInfo) -> str:
    match error.cause:
        case "permission":
            return f"it may not be executed in {device.workdir} (EACCES): {_PLACE}"
        case "format":
            return f"it is made for {bundle.platform}, which the device does not run (ENOEXEC)"
        case _:
            raise error
