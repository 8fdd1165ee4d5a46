"""Google's adb with a server of its own: a free port, a home of its own, no search for other devices."""

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import adbutils

from ..started import Started

GOOGLE_ADB = Path(adbutils.__file__).with_name("binaries") / "adb"
"""The one that adbutils carries; what it runs by itself is the machine's own, where there is one."""
DEBIAN_ADB = Path("/usr/bin/adb")
PATIENCE_S = 45.0
"""Time for several attempts of a server to reach a phone again: Debian's lie 10 s apart, Google's 3 s.

Source: AOSP, packages/modules/adb/transport.cpp, ReconnectHandler, of Android 10 and 16.
"""


class AdbServer(Started):
    """One adb server under `folder`; a context manager. `run` is its client.

    Its key pair is `key` and `key`.pub; a server that is restarted has it again.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, program: Path = GOOGLE_ADB) -> None:
        self.program = program
        self.port = _free_port()
        self.key = folder / ".android/adbkey"
        self.environment = {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PATH": os.environ["PATH"],
            "ANDROID_ADB_SERVER_PORT": str(self.port),
            "ADB_MDNS": "0",
            "ADB_MDNS_AUTO_CONNECT": "0",
            # Phones on USB and emulators, whoever they belong to, are not looked for.
            "ADB_USB": "0",
            "ADB_EMU": "0",
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "0",
        }
        self._log = folder / "adb.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def public_key(self) -> str:
        """What it offers to a phone that does not know it."""
        return self.key.with_suffix(".pub").read_text()

    @property
    def log(self) -> str:
        """What the server has said."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Listen on `port`; makes the keys the first time."""
        if not self.key.exists():
            self.key.parent.mkdir(parents=True)
            self._client("keygen", str(self.key))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                # It ends with us, however that is.
                ["setpriv", "--pdeathsig", "TERM", self.program, "server", "nodaemon"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            time.sleep(0.02)
        log_text = self.log
        self.stop()
        raise RuntimeError(f"the adb server does not answer on port {self.port}:\n{log_text[-2000:]}")

    def stop(self) -> None:
        """End the server; does nothing when it is down."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run the client; `options` are subprocess.run's."""
        assert self._process, "the server is down; a client would start another"
        return self._client(*words, **options)

    def connect(self, serial: str) -> None:
        """Raises AssertionError when the device does not let us in."""
        said = self.run("connect", serial).stdout.decode()
        assert said.startswith(("connected to", "already connected")), said

    def state(self, serial: str) -> str:
        """`device`, `unauthorized`, `offline`, or nothing when the server does not know it."""
        lines = self.run("devices").stdout.decode().splitlines()
        return next((words[1] for line in lines if (words := line.split()) and words[0] == serial), "")

    def wait_for_state(self, serial: str, wanted: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Raises AssertionError when it does not come."""
        deadline = time.monotonic() + timeout_s
        while (state := self.state(serial)) != wanted:
            assert time.monotonic() < deadline, f"{serial} is {state!r} and not {wanted!r}"
            time.sleep(0.1)

    def _client(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        given = {"capture_output": True, "timeout": 60, **options}
        if "input" not in given:
            given.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([self.program, *words], check=False, env=self.environment, **given)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
