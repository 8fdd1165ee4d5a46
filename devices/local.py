"""The machine pocketbench runs on, as a device."""

import errno
import os
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from devices import copying, local_senses
from devices.base import CommandTimeoutError, Completed, DeviceError, NotBroughtBackError, Progress
from devices.config import DeviceConfig
from devices.driver import Driver
from devices.facts import Facts
from devices.lock import DeviceLock
from devices.process import Command, run_contained
from devices.telemetry import Telemetry
from devices.wording import mib

LOCK_TIMEOUT_S = 60.0
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
"""What a command sees of this process's environment; everything else it is given."""


class LocalConfig(DeviceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Device file with `driver = "local"`."""

    def create(self, name: str, *, lock_timeout_s: float) -> "LocalDevice":
        """The device this file describes, not opened; raises DeviceError."""
        return LocalDevice(
            name,
            self.workdir,
            self.cpu_numbers,
            self.cooldown.max_celsius,
            emulated=self.emulated,
            lock_timeout_s=lock_timeout_s,
        )


class LocalDevice(Driver):
    """Runs commands as child processes; its disk is the host's, so staging sends nothing.

    `workdir` is absolute or starts with `~`; None is `devices/<name>` in the user's cache directory (or in
    POCKETBENCH_CACHE). Relative paths on the device count from it. `lock_timeout_s` is how long `open`
    waits for another process that holds this machine; with `exclusive` off there is no lock: for work on
    this machine that is not timed, such as converting.

        with LocalDevice("local") as device:
            print(device.run(["uname", "-a"]).stdout)
    """

    def __init__(
        self,
        name: str,
        workdir: str | None = None,
        cpus: tuple[int, ...] | None = None,
        cooldown_celsius: float | None = None,
        *,
        emulated: bool = False,
        exclusive: bool = True,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> None:
        self.name = name
        self.workdir = str(_workdir(name, workdir))
        self.cpus = cpus
        self.cooldown_celsius = cooldown_celsius
        self.emulated = emulated
        self.lock_timeout_s = lock_timeout_s
        self._exclusive = exclusive
        self._opened = False
        self._lock: DeviceLock | None = None

    def open(self) -> None:
        """Make the work directory and take the machine's lock.

        Raises DeviceError when the machine cannot do what its file asks, TransientDeviceError when another
        process holds it for longer than `lock_timeout_s`.
        """
        if self._opened:
            raise self._open_already()
        if sys.platform != "linux":
            raise DeviceError(f"{self.name}: the local driver needs Linux, this is {sys.platform}")
        self._check_pinnable(os.sched_getaffinity(0), "this process may use")
        try:
            Path(self.workdir).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._explained(error, "make its work directory", self.workdir) from error
        if not os.access(self.workdir, os.W_OK | os.X_OK):
            raise DeviceError(
                f"{self.name}: cannot write its work directory {self.workdir}: "
                "set `workdir` in the device's file, or POCKETBENCH_CACHE"
            )
        if self._exclusive:
            lock = DeviceLock(self.name, self.facts().fingerprint, timeout_s=self.lock_timeout_s)
            lock.acquire()
            self._lock = lock
        self._opened = True

    def close(self) -> None:
        """Let go of the machine's lock; never raises."""
        self._opened = False
        lock, self._lock = self._lock, None
        if lock is not None:
            with suppress(OSError):
                lock.release()

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
    ) -> Completed:
        """Run `argv` to its end, pinned to `cpus`; what it leaves running in the background is killed.

        `env` is added to INHERITED; `cwd` is the work directory by default. Raises CommandTimeoutError
        after `timeout_s` when the command is gone with all its children, DeviceError when it cannot start.
        """
        self._check_open()
        self._check_command(argv, env or {})
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        command = Command(
            argv=argv,
            env={"PATH": os.defpath, **inherited, **(env or {})},
            cwd=str(self._path(cwd or "")),
            cpus=self.cpus,
        )
        return run_contained(self.name, command, stdin=stdin, timeout_s=timeout_s)

    def work(
        self,
        argv: Sequence[str],
        *,
        texts: Mapping[str, str],
        env: Mapping[str, str] | None = None,
        local: Path,
        timeout_s: float = 60.0,
    ) -> Completed:
        """Run `argv` in a new folder with `texts` in it, which then becomes `local`; see Device.work."""
        self._check_open()
        folder = self._path(f"launches/{secrets.token_hex(8)}")
        try:
            self._write_texts(folder, texts)
            try:
                completed = self.run(argv, cwd=str(folder), env=env, timeout_s=timeout_s)
            except CommandTimeoutError:
                with suppress(DeviceError):
                    self.pull(str(folder), local)
                raise
            try:
                self.pull(str(folder), local)
            except DeviceError as error:
                raise NotBroughtBackError(str(error), completed) from error
            return completed
        finally:
            # A folder that cannot be removed must not cost what was measured in it.
            with suppress(DeviceError):
                self.remove(str(folder))

    def stage(
        self,
        local: Path,
        digest: str,  # noqa: ARG002 - nothing is sent, nothing to look up
        *,
        progress: Progress | None = None,  # noqa: ARG002 - see above
    ) -> str:
        """The path itself: the host's disk is the device's disk. Raises DeviceError when it is not there."""
        if not local.exists():
            raise DeviceError(f"{self.name}: cannot stage {local}: no such file")
        return str(local.absolute())

    def stage_all(
        self, contents: Sequence[tuple[Path, str]], *, progress: Progress | None = None
    ) -> list[str]:
        """`stage` for several."""
        return [self.stage(local, digest, progress=progress) for local, digest in contents]

    @property
    def content_bytes_sent(self) -> int:
        """None: the host's disk is the device's."""
        return 0

    def make_directory(self, remote: str) -> None:
        """Create a directory and its parents; raises DeviceError."""
        self._check_open()
        try:
            self._path(remote).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._explained(error, "make the directory", remote) from error

    def push(self, local: Path, remote: str, *, progress: Progress | None = None) -> None:
        """Copy a file or tree to the path `remote`: temporary name, checked, renamed. Raises DeviceError."""
        self._check_open()
        self._copy(f"push {local} to", local, self._path(remote), progress)

    def pull(self, remote: str, local: Path, *, progress: Progress | None = None) -> None:
        """Copy a file or tree to the path `local`: temporary name, checked, renamed. Raises DeviceError."""
        self._check_open()
        self._copy(f"pull {remote} to", self._path(remote), local, progress)

    def remove(self, remote: str) -> None:
        """Delete a file or tree; one that is not there is no error. Raises DeviceError."""
        self._check_open()
        path = os.path.normpath(self._path(remote))
        self._check_removable(path)
        try:
            copying.remove(Path(path))
        except OSError as error:
            raise self._explained(error, "remove", path) from error

    def facts(self) -> Facts:
        """What this machine is; needs no `open`."""
        return local_senses.read_facts()

    def telemetry(self) -> Telemetry:
        """How it feels now; needs no `open`."""
        return local_senses.read_telemetry()

    def _write_texts(self, folder: Path, texts: Mapping[str, str]) -> None:
        try:
            folder.mkdir(parents=True)
            for name, text in texts.items():
                (folder / name).write_text(text)
        except OSError as error:
            raise self._explained(error, "write", str(folder)) from error

    def _path(self, remote: str) -> Path:
        return Path(self.workdir, remote)

    def _check_open(self) -> None:
        if not self._opened:
            raise self._not_open()

    def _copy(self, attempted: str, source: Path, target: Path, progress: Progress | None) -> None:
        try:
            copying.copy_checked(source, target, progress=progress)
        except OSError as error:
            raise self._explained(error, attempted, str(target), source=source) from error

    def _explained(
        self, error: OSError, attempted: str, target: str, *, source: Path | None = None
    ) -> DeviceError:
        told = f"{self.name}: cannot {attempted} {target}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            needed = f"{mib(copying.size_bytes(source))} needed, " if source is not None else ""
            free = mib(_free_bytes(Path(target)))
            return DeviceError(f"{told}: no space left ({needed}{free} free): make room there")
        where = f" ({error.filename})" if error.filename else ""
        return DeviceError(f"{told}: {error.strerror or error}{where}")


def _workdir(name: str, given: str | None) -> Path:
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_absolute():
            raise DeviceError(f"{name}: workdir {given!r} must be absolute or start with ~")
        return path
    if root := os.environ.get("POCKETBENCH_CACHE"):
        return Path(root).absolute() / "devices" / name
    from platformdirs import user_cache_path  # noqa: PLC0415 - costs tens of milliseconds to import

    return user_cache_path("pocketbench") / "devices" / name


def _free_bytes(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
