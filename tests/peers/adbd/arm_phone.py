"""A phone whose commands are aarch64 programs: Debian's toybox and mksh for arm64, under qemu-user."""

from pathlib import Path

from .. import userland
from ..board import BINFMT, IDS, Board
from .phone import Phone
from .programs import Debian

PACKAGES = ("base-files", "coreutils", "diffutils", "gzip", "mksh", "toybox")


class ArmPhone(Phone):
    """A Userland for AdbDevice. Under qemu-user: proves plumbing and parity, never speed.

    It differs from Phone in the board's /proc/cpuinfo.
    """

    namespaces = ("user", "mnt", "pid", "ipc", "uts")
    unshared = ("--user", "--keep-caps", *Phone.unshared)
    binfmt = str(BINFMT)
    missing = staticmethod(Board.missing)

    def _programs(self) -> Debian:
        tree = userland.built_tree(PACKAGES)
        return Debian(root=tree, runner=("qemu-aarch64-static", "-L", str(tree)))

    def _cpuinfo(self) -> str:
        return userland.CPUINFO

    def _map_ids(self, pid: int) -> None:
        # Only a user namespace has a binfmt_misc of its own.
        for ids in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{ids}").write_text(IDS)
