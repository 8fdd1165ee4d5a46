"""What every board of the tests has: a port, keys, a way in, and a life that can be interrupted."""

import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from .started import Started

SSHD_CONFIG = """\
ListenAddress {address}
Port {port}
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
PrintMotd no
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"""


class SshPeer(Started):
    """A board of the tests' own: `start`, use, `stop`, or a `with` block.

    `halt` ends everything inside as a power cut does and `boot` starts it again, on the same port with the
    same files; `restart` is both. One key opens both users. With `directory` the keys lie there and stay.
    """

    host = "127.0.0.1"
    user = "bench"
    device_name = "a64"
    description = ""
    boot_timeout_s = 60.0

    def __init__(self, *, directory: Path | None = None) -> None:
        self._is_ours = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="board-")).absolute()
        self.identity_file = self.directory / "id_ed25519"
        self.known_hosts = self.directory / "known_hosts"
        self.log = self.directory / "log"
        self.private = self.directory / "private"
        """The board's own files; gone at the end."""
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str:
        """What this machine lacks to run one; empty when nothing."""
        raise NotImplementedError

    def boot(self) -> None:
        """Starts everything inside as `self._process` and returns when sshd answers."""
        raise NotImplementedError

    def halt(self) -> None:
        """Ends everything inside at once; does nothing when it is down."""
        process, self._process = self._process, None
        if process is None:
            return
        # What keeps the board running waits for this: a line, or the end of its input when we die.
        with suppress(BrokenPipeError):
            process.stdin.write(b"power cut\n")
            process.stdin.flush()
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self) -> None:
        shutil.rmtree(self.private, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        self.private.mkdir(parents=True)
        self.private.chmod(0o755)
        self.port = _free_port()
        for key in (self.identity_file, self.private / "host_key"):
            _new_key(key)
        public = (self.private / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[{self.host}]:{self.port} {public}")
        try:
            self.prepare()
            self.boot()
        except BaseException:
            self.stop()
            raise

    def prepare(self) -> None:
        """Makes what all boots of one board share."""

    def stop(self) -> None:
        self.halt()
        shutil.rmtree(self.directory if self._is_ours else self.private, ignore_errors=True)

    def restart(self) -> None:
        self.halt()
        self.boot()

    def ssh_command(self, user: str | None = None) -> list[str]:
        """OpenSSH's client up to the destination, to which a command can be added."""
        options = {
            "IdentityFile": self.identity_file,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known_hosts,
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        return ["ssh", "-F", "none", *given, "-p", str(self.port), f"{user or self.user}@{self.host}"]

    def way_in(self) -> str:
        """The command line by which a person gets in."""
        return shlex.join(self.ssh_command())

    def run(self, *argv: str, user: str = "root", check: bool = True, timeout_s: float = 60):
        """Runs a command inside, through ssh; what it printed is in the result's stdout and stderr."""
        command = [*self.ssh_command(user), shlex.join(argv)]
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{shlex.join(argv)} ended with {done.returncode}: {done.stderr}")
        return done

    def device_file(self) -> str:
        """The text of a device file by which the harness reaches this board."""
        return (
            'driver = "ssh"\n'
            f'description = "{self.description}"\n'
            f'host = "{self.host}"\n'
            f"port = {self.port}\n"
            f'user = "{self.user}"\n'
            f'identity_file = "{self.identity_file}"\n'
            f'known_hosts_file = "{self.known_hosts}"\n'
            "emulated = true\n"
        )

    def etc_ssh(self, *, address: str, port: int) -> dict[str, tuple[bytes, int]]:
        """The files of /etc/ssh by path below the root: content and mode."""
        return {
            "etc/ssh/sshd_config": (SSHD_CONFIG.format(address=address, port=port).encode(), 0o644),
            "etc/ssh/ssh_host_ed25519_key": ((self.private / "host_key").read_bytes(), 0o600),
            "etc/ssh/authorized_keys": (self.identity_file.with_suffix(".pub").read_bytes(), 0o644),
        }

    def wait_until_ready(self) -> None:
        """Returns when sshd greets; fails with the log when the process ends before or takes too long."""
        process = self._process
        deadline = time.monotonic() + self.boot_timeout_s
        while not _greets(self.host, self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                why = "ended" if process.poll() is not None else f"not up in {self.boot_timeout_s:.0f} s"
                raise RuntimeError(f"{type(self).__name__}: {why}:\n{self.log_tail()}")
            time.sleep(0.05)

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


def _new_key(path: Path) -> None:
    path.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "pocketbench test", "-f", path]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def _free_port() -> int:
    """A port below those that the kernel gives to clients, so that it is still free at the next boot."""
    while True:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _greets(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5) as stream:
            return stream.recv(4) == b"SSH-"
    except OSError:
        return False
