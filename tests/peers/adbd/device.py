"""The test device: an adbd on a loopback port, in a thread of its own, in front of a phone."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..started import Started
from . import services
from .auth import Authority
from .connection import Connection, Host
from .faults import Faults
from .phone import Phone, Userland
from .wire import MAX_PAYLOAD, VERSION, Traffic

BANNER_PROPERTIES = ("ro.product.name", "ro.product.model", "ro.product.device")
TIMEOUT_S = 20.0


class AdbDevice(Started):
    """One device: `start`, use, `stop`, or a `with` block. Its methods may be called from any thread.

    with AdbDevice(Phone("android9"), authority=Authority(keys=[public])) as device:
        subprocess.run([adb, "connect", device.serial])
        device.faults.drop_after(received=1_000_000)

    `traffic` counts what clients did. `features`, `version` and `max_payload` make an older adbd of it:
    without `shell_v2` it has no exit codes, VERSION_CHECKSUMS and 4096 are Android 5's.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        phone: Userland | None = None,
        *,
        authority: Authority | None = None,
        features: Sequence[str] | None = None,
        version: int = VERSION,
        max_payload: int = MAX_PAYLOAD,
    ) -> None:
        self.phone = phone or Phone()
        self.authority = authority or Authority.open()
        self.faults = Faults()
        self.traffic = Traffic()
        self.port = 0
        self._features = tuple(self.phone.features if features is None else features)
        self._version = version
        self._max_payload = max_payload
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="adbd", daemon=True)
        self._listener: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._rebooting: threading.Thread | None = None
        self._power = threading.Lock()

    @property
    def serial(self) -> str:
        """What `adb connect` and `adb -s` take."""
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Boot the phone and listen, on the port of the last time if there was one."""
        self._thread.start()
        try:
            self.power_on()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything inside, and delete it."""
        if self._rebooting is not None:
            self._rebooting.join()
        self.power_off()
        self.phone.remove()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)
        self._loop.close()

    def power_on(self) -> None:
        """Boot, and listen."""
        with self._power:
            self.phone.boot()
            self._start_services()
            self._call(self._listen())

    def power_off(self) -> None:
        """Connections are cut, the port refuses, all processes inside end; does nothing when it is off."""
        with self._power:
            self._call(self._hang_up())
            self._stop_services()
            self.phone.halt()

    def reboot(self, *, pause_s: float = 0.5) -> None:
        """Off, away for a while, and on again with another boot id."""
        self.power_off()
        time.sleep(pause_s)
        self.power_on()

    def drop_connections(self) -> None:
        """Cut every connection; new ones are taken."""
        self._call(self._drop())

    def break_off(self, word: str) -> bool:
        """Kill what carries the command whose line holds `word`; False while there is none.

        Its stream ends without an exit code, and the connection stands.
        """
        for carrier in _children(self._process.pid):
            for command in _children(carrier):
                with suppress(OSError):  # they come and go
                    if word.encode() in Path(f"/proc/{command}/cmdline").read_bytes():
                        os.kill(carrier, signal.SIGKILL)
                        return True
        return False

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)

    async def _listen(self) -> None:
        listener = socket.create_server((self.host, self.port), backlog=50)
        listener.setblocking(False)
        self.faults.listen(listener)
        self.port = listener.getsockname()[1]
        self._listener = asyncio.create_task(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                sock, _ = await self._loop.sock_accept(listener)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.faults.shape(sock)
                self.traffic.connections += 1
                task = asyncio.create_task(Connection(sock, self._as_host()).serve())
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)
                task.add_done_callback(self.traffic.ended)

    async def _hang_up(self) -> None:
        self.faults.listen(None)
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        await self._drop()

    async def _drop(self) -> None:
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _as_host(self) -> Host:
        told = [f"{name}={self.phone.properties.get(name, '')}" for name in BANNER_PROPERTIES]
        if self._features:
            told.append(f"features={','.join(self._features)}")
        return Host(
            banner=f"device::{';'.join(told)}".encode(),
            version=self._version,
            max_payload=self._max_payload,
            authority=self.authority,
            faults=self.faults,
            traffic=self.traffic,
            spawn=self._spawn,
            reboot=self._reboot_soon,
        )

    def _reboot_soon(self) -> None:
        thread = threading.Thread(target=self.reboot, name="adbd reboot")
        thread.start()
        self._rebooting = thread

    async def _spawn(self, service: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            assert self._control is not None
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
            ours.setblocking(False)
            no_space_after = self.faults.take_no_space() if service.startswith("sync:") else None
            await self._loop.sock_sendall(ours, services.request(service, no_space_after=no_space_after))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    def _start_services(self) -> None:
        self._control, theirs = socket.socketpair()
        top = Path(__file__).parents[len(services.__name__.split(".")) - 1]
        phone = self.phone
        words = [str(phone.init_pid), ",".join(phone.namespaces), str(phone.uid), phone.path_variable]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", services.__name__, *words],
                stdin=theirs,
                env={"PYTHONPATH": str(top)},
                start_new_session=True,
            )
        if self._control.recv(1) != b"!":
            raise RuntimeError("the services inside the phone did not start: see standard error")

    def _stop_services(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        process.wait(TIMEOUT_S)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
