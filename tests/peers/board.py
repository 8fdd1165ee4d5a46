"""An ARM Linux board that is none: an aarch64 Debian with its own sshd, run by qemu-user in namespaces.

    uv run python -m tests.peers.board results/board [-- COMMAND ...]

It has its own users, processes, mounts, /sys and /proc/cpuinfo, and the host's network and kernel.
"""

import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from . import userland
from .ssh_peer import SshPeer

BINFMT = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
"""How the package of qemu-user would have aarch64 programs run; only the board's namespace is told."""
INIT = Path(__file__).with_name("board_init.sh")
IDS = "0 0 65536\n"
PROBE = """
mount -t proc proc /proc
registered=/proc/sys/fs/binfmt_misc
[ -e $registered/qemu-aarch64 ] || mount -t binfmt_misc binfmt_misc $registered
"""

CPU = "devices/system/cpu"
SYS_FILES = {
    "firmware/devicetree/base/model": "pocketbench emulated aarch64 board\0",
    "firmware/devicetree/base/compatible": "pocketbench,emulated-board\0",
    f"{CPU}/online": "0-1\n",
    f"{CPU}/possible": "0-1\n",
    f"{CPU}/present": "0-1\n",
    "class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "class/thermal/thermal_zone0/temp": "45200\n",
} | {
    f"{CPU}/cpu{core}/cpufreq/{name}": value
    for core in range(2)
    for name, value in {
        "cpuinfo_max_freq": "1500000\n",
        "cpuinfo_min_freq": "600000\n",
        "scaling_available_governors": "performance ondemand\n",
        "scaling_cur_freq": "600000\n",
        "scaling_governor": "ondemand\n",
    }.items()
}


class Board(SshPeer):
    """An aarch64 userland under qemu-user; up in about a second.

    `sys_files` are all the files /sys has, by path below it, anew at every boot; while the board is up
    they lie in `sys`, where a test may change them. With `python=False` there is no python3.
    """

    description = "aarch64 Debian under qemu-user: proves plumbing and parity, never speed"

    def __init__(
        self,
        *,
        python: bool = True,
        sys_files: Mapping[str, str] = SYS_FILES,
        directory: Path | None = None,
    ) -> None:
        super().__init__(directory=directory)
        self.sys = self.private / "sys"
        self._python = python
        self._sys_files = dict(sys_files)
        self._tree: Path | None = None

    @staticmethod
    def missing() -> str:
        lacking = userland.missing_programs()
        if not BINFMT.exists() or not shutil.which("qemu-aarch64-static"):
            lacking += " qemu-user-static"
        if not lacking:
            namespaces = ("--user", "--map-root-user", "--mount", "--pid", "--ipc", "--uts", "--fork")
            probe = ["unshare", *namespaces, "sh", "-c", PROBE]
            if subprocess.run(probe, check=False, capture_output=True, timeout=30).returncode != 0:
                lacking = "Linux 6.7 and the right to make namespaces and mounts in them"
        return lacking.strip()

    @property
    def root(self) -> Path:
        """The board's files as root on this machine sees them while the board is up."""
        assert self._process, "the board is down"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return Path(f"/proc/{children.read_text().split()[0]}/root")

    def prepare(self) -> None:
        self._tree = userland.built_tree()
        for name in ("root", "upper", "work"):
            (self.private / name).mkdir()
        for name, (content, mode) in self.etc_ssh(address=self.host, port=self.port).items():
            path = self.private / "seed" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)

    def boot(self) -> None:
        assert self._process is None, "the board is up"
        (self.private / "cpuinfo").write_text(userland.CPUINFO)
        (self.private / "boot_id").write_text(f"{uuid.uuid4()}\n")
        shutil.rmtree(self.sys, ignore_errors=True)
        for name, content in self._sys_files.items():
            path = self.sys / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        namespaces = ("--user", "--keep-caps", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
        init = ("sh", INIT, self._tree, self.private, BINFMT, "yes" if self._python else "no")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["unshare", *namespaces, "--", *init],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                start_new_session=True,
            )
        self._map_ids(self._process)
        self.wait_until_ready()

    def _map_ids(self, process: subprocess.Popen[bytes]) -> None:
        """Gives the namespace the ids of this machine, as soon as it exists, and lets its init go on."""
        with process.stdout:
            if process.stdout.readline() != b"in namespaces\n":
                raise RuntimeError(f"Board: no namespaces:\n{self.log_tail()}")
        for ids in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{ids}").write_text(IDS)
        process.stdin.write(b"ids are mapped\n")
        process.stdin.flush()


if __name__ == "__main__":
    from .by_hand import main

    raise SystemExit(main(Board))
