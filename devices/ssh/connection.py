"""One SSH connection, by paramiko."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import paramiko

from devices.base import TransientDeviceError
from devices.remote.transport import Finished, NotFinishedError, Sink
from devices.ssh.heartbeat import Heartbeat
from devices.ssh.login import UnknownHostError, hang_up, log_in
from devices.ssh.routes import Route

KEEPALIVE_S = 5.0
SILENCE_S = 30.0
"""After so long without any sign of life the connection counts as lost."""

ROOM_TIMEOUT_S = 2.0
"""How long a server that allows few sessions may take to let go of one that has ended (its MaxSessions)."""

_CHUNK_BYTES = 32 * 1024
"""What one packet of OpenSSH's takes."""


class SshConnection:
    """A Transport over SSH. `route` is worked out when connecting.

    `silence_s` is how long a dead line goes unnoticed.
    """

    def __init__(
        self,
        device: str,
        route: Callable[[], Route],
        *,
        accept_new: bool = False,
        keepalive_s: float = KEEPALIVE_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self.device = device
        self.address = device
        self._route = route
        self._accept_new = accept_new
        self._keepalive_s = keepalive_s
        self._silence_s = silence_s
        self._hops: list[paramiko.Transport] = []
        self._heartbeat: Heartbeat | None = None
        self._was_connected = False

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return bool(self._hops) and self._hops[-1].is_active()

    @property
    def file_service(self) -> None:
        """None: SFTP is not everywhere, and no faster than a command."""
        return

    def connect(self) -> None:
        """Connect and log in, hop by hop; raises DeviceError, TransientDeviceError."""
        self.close()
        route = self._route()
        self.address = str(route)
        try:
            self._hops = log_in(self.device, route, accept_new=self._accept_new)
        except UnknownHostError as error:
            if self._was_connected:
                # A board that tells its name itself (mDNS) takes it along when it reboots.
                raise TransientDeviceError(str(error)) from error
            raise
        self._was_connected = True
        self._heartbeat = Heartbeat(
            self.device, self._hops[-1], keepalive_s=self._keepalive_s, silence_s=self._silence_s
        )

    def close(self) -> None:
        """Hang up; never raises."""
        hops, self._hops = self._hops, []
        hang_up(hops)
        heartbeat, self._heartbeat = self._heartbeat, None
        if heartbeat is not None:
            heartbeat.end()

    def execute(
        self, line: str, *, stdin: Iterable[bytes] = (), sink: Sink | None = None, timeout_s: float
    ) -> Finished:
        """See Transport.execute."""
        deadline = time.monotonic() + timeout_s
        channel = self._start(line)
        readers: tuple[_Reader, ...] = ()
        try:
            out = _Reader(channel.recv, sink, self._heard)
            err = _Reader(channel.recv_stderr, None, self._heard)
            readers = (out, err)
            in_time = self._feed(channel, stdin, deadline) and _wait(channel, readers, deadline)
            for reader in readers:
                if reader.error is not None:
                    raise reader.error
            if not in_time:
                raise NotFinishedError(out.read, err.read)
            code = channel.exit_status
            # Both leave no code; but only a command that ended there had its output closed from there.
            if code < 0 and not (channel.eof_received and self.connected):
                raise self._lost()
            return Finished(exit_code=code if code >= 0 else None, stdout=out.read, stderr=err.read)
        finally:
            channel.close()
            for reader in readers:
                reader.join(1.0)  # a sink of the caller's may take its time

    def hold(self, line: str, *, until: bytes, timeout_s: float) -> tuple["HeldChannel", bytes]:
        """See Transport.hold."""
        deadline = time.monotonic() + timeout_s
        channel = self._start(line)
        printed = b""
        try:
            while until not in printed:
                channel.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = channel.recv(4096)
                if not chunk:
                    break
                printed += chunk
        except TimeoutError:
            channel.close()
            raise TransientDeviceError(f"{self.device}: no answer within {timeout_s:g} s") from None
        except BaseException:
            channel.close()
            raise
        if until not in printed and not (channel.eof_received and self.connected):
            channel.close()
            raise self._lost()
        return HeldChannel(channel), printed

    def _start(self, line: str) -> paramiko.Channel:
        if not self.connected:
            raise self._lost()
        transport = self._hops[-1]
        channel: paramiko.Channel | None = None
        try:
            channel = self._open_session(transport)
            channel.settimeout(self._silence_s)
            channel.exec_command(os.fsencode(line))  # names there need not be UTF-8
        except (paramiko.SSHException, OSError, EOFError) as error:
            if channel is not None:
                channel.close()
            if transport.is_active():
                raise TransientDeviceError(
                    f"{self.device}: {self.address} starts no more commands ({error}): "
                    "is its process table or memory full?"
                ) from error
            raise self._lost() from error
        return channel

    def _open_session(self, transport: paramiko.Transport) -> paramiko.Channel:
        deadline = time.monotonic() + ROOM_TIMEOUT_S
        while True:
            try:
                return transport.open_session(timeout=self._silence_s)
            except paramiko.ChannelException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _feed(self, channel: paramiko.Channel, stdin: Iterable[bytes], deadline: float) -> bool:
        """Send everything; False when the time is over. A command that stops reading is no error."""
        channel.settimeout(0.5)
        for piece in stdin:
            rest = memoryview(piece)
            while rest:
                if time.monotonic() > deadline:
                    return False
                try:
                    # A view goes as well as bytes do, uncopied; the stubs do not know.
                    sent = channel.send(rest[:_CHUNK_BYTES])  # type: ignore[arg-type]
                except TimeoutError:
                    continue
                except (OSError, EOFError):
                    return True
                if sent == 0:
                    return True
                self._heard()
                rest = rest[sent:]
        with suppress(OSError, EOFError):
            channel.shutdown_write()
        return True

    def _heard(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.heard()

    def _lost(self) -> TransientDeviceError:
        return TransientDeviceError(
            f"{self.device}: the connection to {self.address} is lost: is it on, and the cable in?"
        )


class HeldChannel:
    """A command that lives until it is let go or the connection ends."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def close(self) -> None:
        """Let the command see the end of its input."""
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()
            self._channel.status_event.wait(2)
            self._channel.close()


class _Reader(threading.Thread):
    """Reads one stream to its end, into memory or a sink."""

    def __init__(self, receive: Callable[[int], bytes], sink: Sink | None, heard: Callable[[], None]) -> None:
        super().__init__(name="ssh reader", daemon=True)
        self._receive = receive
        self._chunks: list[bytes] = []
        self._sink = sink or self._chunks.append
        self._heard = heard
        self.error: BaseException | None = None
        self.start()

    @property
    def read(self) -> bytes:
        """What came so far, when there is no sink."""
        return b"".join(self._chunks)

    def run(self) -> None:
        """Until the other end closes, the channel is closed, or the sink fails."""
        while True:
            try:
                chunk = self._receive(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return
            if not chunk:
                return
            self._heard()
            try:
                self._sink(chunk)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                self.error = error
                return


def _wait(channel: paramiko.Channel, readers: tuple[_Reader, ...], deadline: float) -> bool:
    """Until both streams and the command have ended; False when the time is over before."""
    for reader in readers:
        reader.join(max(0.0, deadline - time.monotonic()))
        if reader.is_alive():
            return False
        if reader.error is not None:
            return True
    return channel.status_event.wait(max(0.0, deadline - time.monotonic()))
