"""A private OpenSSH server on a free loopback port: its own keys, no system files."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devices.ssh.routes import Destination

from .ssh_devices import destination_of
from .started import Started

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Sshd(Started):
    """One sshd under `folder`: `start`, `stop`, `restart` on the same port; a context manager.

    `environment` is set for every session (`SetEnv`), `options` are further lines of its configuration.
    """

    user = "root"

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        self.folder = folder
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self.identity_file = folder / "id_ed25519"
        self.host_key = folder / "host_ed25519"
        self.known_hosts = folder / "known_hosts"
        self._environment = {"TMPDIR": str(folder), **(environment or {})}
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str:
        """What this machine lacks to run it, or nothing."""
        if SSHD is None or shutil.which("ssh-keygen") is None:
            return "sshd is not installed (sh tests/setup.sh)"
        return "" if os.geteuid() == 0 else "sshd needs root to take a session"

    def start(self) -> None:
        """Listen on `port`, with the keys of the last start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for key in (self.identity_file, self.host_key):
            if not key.exists():
                make_key(key)
        public = self.host_key.with_suffix(".pub").read_text().split()
        self.known_hosts.write_text(f"[{self.host}]:{self.port} {public[0]} {public[1]}\n")
        self._configuration.write_text(self._configured())
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self._configuration)],
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._wait_for_port()

    def stop(self) -> None:
        """End the server and every session of it."""
        process, self._process = self._process, None
        if process is None:
            return
        for pid in (*descendants(process.pid), process.pid):
            kill(pid)
        process.wait(10)

    def restart(self, *, pause_s: float = 0.0) -> None:
        """What a reboot looks like from outside: sessions die, the port closes, later it answers again."""
        self.stop()
        time.sleep(pause_s)
        self.start()

    def drop_sessions(self) -> None:
        """End the processes that serve connections, as a network that goes away would."""
        assert self._process is not None
        for pid in descendants(self._process.pid, levels=1):
            kill(pid)

    def freeze_sessions(self) -> None:
        """Stop the processes that serve connections: they notice nothing, and what they started goes on."""
        assert self._process is not None
        for pid in descendants(self._process.pid, levels=1):
            os.kill(pid, signal.SIGSTOP)

    def authorize(self, key: Path) -> None:
        """Let one more key pair log in."""
        with self._authorized.open("a") as stream:
            stream.write(key.with_name(f"{key.name}.pub").read_text())

    def destination(self, **said: Any) -> Destination:
        """What a device file says to get here; `said` comes first."""
        return destination_of(self, **said)

    @property
    def _authorized(self) -> Path:
        return self.folder / "authorized_keys"

    @property
    def _configuration(self) -> Path:
        return self.folder / "sshd_config"

    def _configured(self) -> str:
        words = " ".join(f'"{name}={value}"' for name, value in self._environment.items())
        lines = [
            f"Port {self.port}",
            f"ListenAddress {self.host}",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.identity_file}.pub {self._authorized}",
            f"PidFile {self.folder / 'sshd.pid'}",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "PermitRootLogin yes",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
            f"SetEnv {words}",
            *self._options,
        ]
        return "\n".join(lines) + "\n"

    def _wait_for_port(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"sshd did not start: {(self.folder / 'sshd.log').read_text()[-800:]}")
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"sshd does not answer on port {self.port}")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new key pair in `path` and `path`.pub."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def kill(pid: int) -> None:
    """SIGKILL; gone already is fine."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def descendants(root: int, *, levels: int = 100) -> list[int]:
    """Processes below `root`, parents before children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found: list[int] = []
    level = [root]
    for _ in range(levels):
        level = [child for pid in level for child in children.get(pid, [])]
        if not level:
            break
        found += level
    return found
