"""The inside of the phone: a root of its own in namespaces of its own, in which commands are real.

It has Android's shell and commands (programs.py), a writable /data, an /sdcard from which nothing can be run,
a /sys of its own, and sees no processes and no programs but its own. It needs root.
"""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from . import android
from .programs import Debian

INIT = Path(__file__).with_name("phone_init.sh")
SHELL_UID = 2000
SDCARD_GID = 1015
ACCOUNTS = {
    "passwd": "root:x:0:0::/:/system/bin/sh\nsystem:x:1000:1000::/:/system/bin/sh\n"
    "shell:x:2000:2000::/:/system/bin/sh\n",
    "group": "root:x:0:\nsystem:x:1000:\ninput:x:1004:\nlog:x:1007:\nadb:x:1011:\nsdcard_rw:x:1015:\n"
    "sdcard_r:x:1028:\nshell:x:2000:\nnet_bt_admin:x:3001:\nnet_bt:x:3002:\ninet:x:3003:\n"
    "net_bw_stats:x:3006:\nreadproc:x:3009:\n",
}


class Userland(Protocol):
    """What an adbd can serve: a root in namespaces, with a process in them to be found by."""

    namespaces: tuple[str, ...]
    """Names below /proc/PID/ns, in the order in which they are entered."""
    uid: int
    features: tuple[str, ...]
    properties: Mapping[str, str]
    path_variable: str
    """The PATH that commands have."""

    @property
    def init_pid(self) -> int:
        """PID 1 of it, as this machine numbers it."""
        ...

    def boot(self) -> None:
        """Start it; its processes and /proc/sys/kernel/random/boot_id are new."""
        ...

    def halt(self) -> None:
        """End all its processes at once."""
        ...

    def remove(self) -> None:
        """Halt it and delete its files."""
        ...


class Phone:
    """A phone of a release in tests/peers/android.

    `properties` replace those of the release, `hidden` are commands it does not have, `data_bytes` is the
    size of /data, which then forgets all at a reboot. `uid` 0 is a phone whose adbd runs as root. With
    `has_bin=False` there is no /bin that leads to /system/bin, as before Android 9.
    """

    namespaces = ("mnt", "pid")
    unshared = ("--mount", "--pid", "--ipc", "--uts")
    binfmt = ""

    def __init__(
        self,
        release: str = "android14",
        *,
        properties: Mapping[str, str] | None = None,
        hidden: Collection[str] = (),
        data_bytes: int | None = None,
        uid: int = SHELL_UID,
        has_bin: bool = True,
    ) -> None:
        self.release = android.read(release)
        self.features = self.release.features
        self.path_variable = self.release.path
        self.properties = {**self.release.properties, **(properties or {})}
        self.uid = uid
        programs = self._programs()
        self.private = Path(tempfile.mkdtemp(prefix="phone-"))
        self._data_bytes = data_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._make(programs, hidden, has_bin=has_bin)

    @staticmethod
    def missing() -> str:
        """What this machine lacks to run one; empty when nothing."""
        rights = () if os.geteuid() == 0 else ("root's rights",)
        absent = (name for name in ("mksh", "toybox", "unshare") if not shutil.which(name))
        return " ".join((*rights, *absent))

    @property
    def init_pid(self) -> int:
        assert self._process, "the phone is off"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])

    def path(self, inside: str) -> Path:
        """Where this machine's root finds a file of the phone while it is on."""
        return Path(f"/proc/{self.init_pid}/root") / inside.lstrip("/")

    def say(self, service: str, text: str | None) -> None:
        """What `dumpsys SERVICE` prints from now on; None when there is no such service."""
        file = self.private / "system" / android.ANSWERS / "dumpsys" / service
        file.unlink() if text is None else file.write_text(text)

    def has_started(self) -> None:
        """Android is up, as `sys.boot_completed` says from now on."""
        self.properties = {**self.properties, "sys.boot_completed": "1"}
        android.write_properties(self.properties, self.private / "system")

    def boot(self) -> None:
        assert self._process is None, "the phone is on"
        (self.private / "boot_id").write_text(f"{uuid.uuid4()}\n")
        init = ("sh", INIT, self.private, str(self._data_bytes or ""), self.binfmt)
        with (self.private / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", *self.unshared, "--fork", "--kill-child", "--", *init],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                start_new_session=True,
            )
        with self._process.stdout as said:
            if said.readline() == b"in namespaces\n":
                self._map_ids(self._process.pid)
                self._process.stdin.write(b"ids are mapped\n")
                self._process.stdin.flush()
            if said.readline() != b"ready\n":
                log = (self.private / "log").read_text(errors="replace")
                self.halt()
                raise RuntimeError(f"the phone does not boot:\n{log[-2000:]}")

    def halt(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def remove(self) -> None:
        self.halt()
        shutil.rmtree(self.private, ignore_errors=True)

    def _programs(self) -> Debian:
        """Where its shell and commands are from."""
        return Debian()

    def _cpuinfo(self) -> str:
        return self.release.cpuinfo

    def _map_ids(self, pid: int) -> None:
        """Give the users inside their ids; they are this machine's."""

    def _make(self, programs: Debian, hidden: Collection[str], *, has_bin: bool) -> None:
        self.private.chmod(0o755)
        for name in ("root", "etc", "data", "sdcard", "sys"):
            (self.private / name).mkdir()
        for name, text in ACCOUNTS.items():
            (self.private / "etc" / name).write_text(text)
        (self.private / "cpuinfo").write_text(self._cpuinfo())
        if has_bin:
            (self.private / "has_bin").touch()
        android.install(self.release, self.private, programs, hidden=hidden)
        android.write_properties(self.properties, self.private / "system")
        android.write_sys(self.release.sys_files, self.private / "sys")
        data = self.private / "data"
        android.write_state(self.release, data)
        (data / "local/tmp").mkdir(parents=True)
        for path, owner, mode in (
            (data, 1000, 0o771),
            (data / "local", 0, 0o751),
            (data / "local/tmp", SHELL_UID, 0o771),
            # The programs that stand for Android's services run as the shell and write here.
            (data / "system", SHELL_UID, 0o771),
            *((file, SHELL_UID, 0o600) for file in (data / "system").iterdir()),
        ):
            os.chown(path, owner, owner)
            path.chmod(mode)
        os.chown(self.private / "sdcard", SHELL_UID, SDCARD_GID)
        (self.private / "sdcard").chmod(0o2770)
