"""A phone whose commands are aarch64 programs: the emulated board's userland with Android's /system in it."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from ..board import Board
from . import android
from .phone import SHELL_UID


class ArmPhone:
    """A Userland for AdbDevice. Under qemu-user: proves plumbing and parity, never speed.

    Beside Phone it has the board's /proc/cpuinfo and all programs of the board's Debian, a root that can be
    written to by root, and no /sdcard. Files stay over a reboot.
    """

    namespaces = ("user", "mnt", "pid", "ipc", "uts")
    missing = staticmethod(Board.missing)

    def __init__(
        self,
        release: str = "android14",
        *,
        properties: Mapping[str, str] | None = None,
        hidden: Collection[str] = (),
        uid: int = SHELL_UID,
    ) -> None:
        self.release = android.read(release)
        self.features = self.release.features
        self.properties = {**self.release.properties, **(properties or {})}
        self.uid = uid
        self._hidden = hidden
        readable = {name: text for name, text in self.release.sys_files.items() if not name.endswith("!")}
        self._board = Board(python=False, sys_files=readable)
        self._is_made = False

    @property
    def init_pid(self) -> int:
        return int(self._board.root.parent.name)

    def path(self, inside: str) -> Path:
        """Where this machine's root finds a file of the phone while it is on."""
        return self._board.root / inside.lstrip("/")

    def boot(self) -> None:
        if self._is_made:
            self._board.boot()
            return
        self._board.start()
        self._is_made = True
        system, data = self.path("/system"), self.path("/data")
        android.install(self.release, system, hidden=self._hidden, root=self._board.root)
        android.write_properties(self.properties, system)
        android.write_state(self.release, data)
        (data / "local/tmp").mkdir(parents=True)
        for path in (data / "local/tmp", data / "system", *(data / "system").iterdir()):
            os.chown(path, SHELL_UID, SHELL_UID)

    def halt(self) -> None:
        self._board.halt()

    def remove(self) -> None:
        self._board.stop()
