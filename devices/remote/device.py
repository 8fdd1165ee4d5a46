"""A Device over any transport: life cycle, reconnecting, and the parts that do the work."""

import hashlib
import logging
import posixpath
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from devices.base import Completed, DeviceBusyError, DeviceError, Progress, TransientDeviceError
from devices.driver import Driver
from devices.facts import Facts
from devices.lock import DeviceLock
from devices.remote import commands, files, snapshot
from devices.remote.command_script import Command
from devices.remote.governor import Governor
from devices.remote.kept import SUFFIX, KeptSettings, MakeKept
from devices.remote.line import Line
from devices.remote.lock import RemoteLock
from devices.remote.settings import RemoteSettings
from devices.remote.shell import Shell, quote
from devices.remote.store import Store
from devices.remote.transport import Transport
from devices.remote.work import work
from devices.remote.workdir import prepare_workdir
from devices.telemetry import Telemetry
from devices.wording import cpu_list

CLOSING_PATIENCE_S = 15.0
"""How long a device that is away is waited for to put back what was set; Google's adb needs ten to notice."""

_log = logging.getLogger(__name__)


class RemoteDevice(Driver):
    """A machine behind a POSIX shell. Facts and telemetry connect by themselves; all else needs `open`.

    A lost connection is a TransientDeviceError; the next call connects again, waiting up to `patience_s`
    for a device that reboots, takes the lock again and ends what the lost connection left running. A device
    that was waited for in vain is a DeviceAwayError, and is not waited for a second time.
    """

    def __init__(
        self,
        name: str,
        driver: str,
        transport: Transport,
        settings: RemoteSettings,
        *,
        senses: snapshot.Senses = snapshot.LINUX,
        kept: Sequence[MakeKept] = (),
    ) -> None:
        self.name = name
        self.driver = driver
        self.workdir = settings.workdir
        self.cpus = settings.cpus
        self.cooldown_celsius = settings.cooldown_celsius
        self.emulated = settings.emulated
        self.settings = settings
        self.transport = transport
        self.shell = Shell(name, transport)
        self._line = Line(name, transport)
        self._senses = senses
        self._store: Store | None = None
        self._make_kept = kept
        self._kept = KeptSettings(name, ())
        self._lock = RemoteLock(self.shell, timeout_s=settings.lock_timeout_s)
        self._host_lock: DeviceLock | None = None
        self._facts: Facts | None = None
        self._opened = False

    def reach(self) -> None:
        """Connect and log in unless that is done; no lock, nothing written.

        Raises DeviceError, TransientDeviceError. The first attempt is one attempt; a device that was there
        before is waited for.
        """
        if self._line.reach(self.settings.patience_s) and self._opened:
            try:
                self._settle()
            except BaseException:
                # Without the lock nothing may run: the next call has to begin here again.
                self.transport.close()
                raise

    def open(self) -> None:
        """Reach the device, make its work directory, take its lock; raises DeviceError."""
        if self._opened:
            raise self._open_already()
        self.reach()
        try:
            self._check_cpus()
            self.workdir = prepare_workdir(self.shell, self.settings.workdir)
            self._take_lock()
            left = self._clean()
            self._store = Store(self.shell, f"{self.workdir}/store", quota_bytes=self.settings.quota_bytes)
            self._kept = self._kept_settings()
            self._kept.begin(left)
        except BaseException:
            self.close()
            raise
        self._opened = True

    def close(self) -> None:
        """Put back what was set for measuring, let go of the lock, hang up; never raises."""
        self._opened = False
        self._put_back()
        self._lock.release()
        host_lock, self._host_lock = self._host_lock, None
        if host_lock is not None:
            try:
                host_lock.release()
            except OSError as error:
                _log.warning("%s: %s", self.name, error)
        self._line.close()
        self._store = None

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60.0,
    ) -> Completed:
        """Run `argv` to its end, pinned to `cpus`; see devices/remote/commands.py for what it raises."""
        self._check_open()
        command = self._command(argv, cwd or "", env or {})
        return commands.run(self.shell, command, stdin=stdin, timeout_s=timeout_s)

    def work(
        self,
        argv: Sequence[str],
        *,
        texts: Mapping[str, str],
        env: Mapping[str, str] | None = None,
        local: Path,
        timeout_s: float = 60.0,
    ) -> Completed:
        """Run `argv` in a new folder that becomes `local`; see devices/remote/work.py for what it raises."""
        self._check_open()
        command = self._command(argv, f"launches/{secrets.token_hex(8)}", env or {})
        return work(self.shell, command, texts, local=local, timeout_s=timeout_s)

    def stage(self, local: Path, digest: str, *, progress: Progress | None = None) -> str:
        """Send what the device's store lacks of `local`; its path there. Raises DeviceError."""
        self._check_open()
        if not local.exists():
            raise DeviceError(f"{self.name}: cannot stage {local}: no such file")
        return self._opened_store.stage(local, digest, progress=progress)

    def stage_all(
        self, contents: Sequence[tuple[Path, str]], *, progress: Progress | None = None
    ) -> list[str]:
        """`stage` for several; those that are there are found in one round trip."""
        self._check_open()
        return self._opened_store.stage_all(contents, progress=progress)

    @property
    def content_bytes_sent(self) -> int:
        """Bytes of content that staging sent since `open`."""
        return self._store.content_bytes_sent if self._store is not None else 0

    def make_directory(self, remote: str) -> None:
        """Create a directory and its parents; raises DeviceError."""
        self._check_open()
        path = self._path(remote)
        self.shell.checked(f"mkdir -p {quote(path)}", attempted=f"make the directory {path}")

    def push(self, local: Path, remote: str, *, progress: Progress | None = None) -> None:
        """Copy a file or tree to the device; raises DeviceError."""
        self._check_open()
        files.push(self.shell, local, self._path(remote), progress=progress)

    def pull(self, remote: str, local: Path, *, progress: Progress | None = None) -> None:
        """Copy a file or tree from the device; raises DeviceError."""
        self._check_open()
        files.pull(self.shell, self._path(remote), local, progress=progress)

    def remove(self, remote: str) -> None:
        """Delete a file or tree; one that is not there is no error. Raises DeviceError."""
        self._check_open()
        path = posixpath.normpath(self._path(remote))
        self._check_removable(path)
        self.shell.checked(f"rm -rf {quote(path)}", attempted=f"remove {path}")

    def facts(self) -> Facts:
        """What the device is; asked once. Needs no `open`. Raises DeviceError when it cannot be reached."""
        if self._facts is None:
            self.reach()
            self._facts = self._senses.read_facts(self.shell, driver=self.driver)
        return self._facts

    def telemetry(self) -> Telemetry:
        """How it feels now. Needs no `open`. Raises DeviceError when it cannot be reached."""
        self.reach()
        return self._senses.read_telemetry(self.shell)

    @property
    def _owner(self) -> str:
        """What the processes of this work directory are known by."""
        return hashlib.sha256(self.workdir.encode()).hexdigest()[:12]

    @property
    def _opened_store(self) -> Store:
        assert self._store is not None  # noqa: S101 - open made it
        return self._store

    def _path(self, remote: str) -> str:
        return remote if remote.startswith("/") else f"{self.workdir}/{remote}".rstrip("/")

    def _command(self, argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> Command:
        self._check_command(argv, env)
        return Command(
            argv=argv,
            cwd=self._path(cwd),
            env=env,
            owner=self._owner,
            cpu_mask=sum(1 << cpu for cpu in self.cpus) if self.cpus else None,
        )

    def _check_open(self) -> None:
        if not self._opened:
            raise self._not_open()
        self.reach()

    def _check_cpus(self) -> None:
        if self.cpus is None:
            return
        present = {core for cluster in self.facts().clusters for core in cluster.cores}
        if present:
            self._check_pinnable(present, "the device has")
        asked = self.shell.call("command -v taskset", attempted="look for taskset")
        if asked.exit_code != 0:
            raise DeviceError(
                f"{self.name}: cannot pin to CPUs {cpu_list(self.cpus)}: it has no taskset; install "
                "util-linux there, or remove `cpus` from the device's file"
            )

    def _take_lock(self) -> None:
        if not self._lock.acquire():
            # No flock over there: at least the sessions of this host keep out of each other's way.
            lock = DeviceLock(self.name, self.facts().fingerprint, timeout_s=self.settings.lock_timeout_s)
            lock.acquire()
            self._host_lock = lock

    def _settle(self) -> None:
        """After a lost connection: take the lock again, end what still runs, take nothing for granted."""
        if self._host_lock is None:
            self._take_lock()
        commands.sweep(self.shell, self._owner)
        if self._store is not None:
            self._store.forget()
        self._kept.repeat()

    def _clean(self) -> list[str]:
        """End what a session that died left running, remove what it was working on; what it left set."""
        commands.sweep(self.shell, self._owner)
        script = (
            f"cd {quote(self.workdir)} && rm -rf launches || exit 1; "
            f'for file in *{SUFFIX}; do [ ! -e "$file" ] || echo "$file"; done'
        )
        printed = self.shell.checked(script, attempted="remove old launches")
        return printed.decode(errors="replace").splitlines()

    def _kept_settings(self) -> KeptSettings:
        governor = Governor(self.shell, f"{self.workdir}/{Governor.name}{SUFFIX}", self.settings.governor)
        others = [make(self.shell, self.workdir) for make in self._make_kept]
        return KeptSettings(self.name, [governor, *others])

    def _put_back(self) -> None:
        names = self._kept.names
        if not names:
            return
        patience_s = min(CLOSING_PATIENCE_S, self.settings.patience_s)
        try:
            if self._line.reach(patience_s):
                self._lock.acquire(timeout_s=0.0)
            try:
                self._kept.end()
            except TransientDeviceError:
                # The line may have been dead for long without anybody having used it.
                self._line.reach(patience_s)
                self._lock.acquire(timeout_s=0.0)
                self._kept.end()
        except DeviceBusyError as error:
            # Another session has the device, and what we set: it puts that back when it has done.
            _log.warning("%s: its %s are left to the other session: %s", self.name, names, error)
        except DeviceError as error:
            _log.warning("%s: its %s could not be put back: %s", self.name, names, error)
