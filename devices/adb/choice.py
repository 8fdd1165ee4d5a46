"""The way to a phone when its file says none: through the adb server when that is there or needed."""

from collections.abc import Iterable

from devices.adb import smart_socket
from devices.adb.direct import AdbDirectConnection, TlsWantedError, host_and_port
from devices.adb.server import AdbServerConnection
from devices.remote.transport import FileService, Finished, Held, Sink


class AdbChosenConnection:
    """A Transport that chooses each time it connects.

    Direct, without an adb server, only for a `serial` that is host:port while no server runs; a server that
    does not run is started for phones on USB and those that want TLS.
    """

    def __init__(
        self,
        device: str,
        serial: str | None,
        *,
        server_host: str = "127.0.0.1",
        server_port: int = 5037,
        key_file: str | None = None,
    ) -> None:
        self.address = serial or "the only phone"
        self._is_tcp = host_and_port(serial) is not None
        self._server_place = (server_host, server_port)
        self._server = AdbServerConnection(device, serial, server_host=server_host, server_port=server_port)
        self._direct = AdbDirectConnection(device, serial, key_file=key_file)
        self._chosen: AdbServerConnection | AdbDirectConnection = self._server

    @property
    def connected(self) -> bool:
        """Whether commands can be sent now."""
        return self._chosen.connected

    @property
    def file_service(self) -> FileService:
        """See Transport.file_service."""
        return self._chosen.file_service

    def connect(self) -> None:
        """Reach the device; raises DeviceError, TransientDeviceError."""
        self.close()
        is_direct = self._is_tcp and smart_socket.is_absent(self._server_place)
        self._chosen = self._direct if is_direct else self._server
        try:
            self._chosen.connect()
        except TlsWantedError:
            self._chosen = self._server
            self._chosen.connect()
        finally:
            self.address = self._chosen.address

    def close(self) -> None:
        """Hang up; never raises."""
        self._chosen.close()

    def execute(
        self, line: str, *, stdin: Iterable[bytes] = (), sink: Sink | None = None, timeout_s: float
    ) -> Finished:
        """See Transport.execute."""
        return self._chosen.execute(line, stdin=stdin, sink=sink, timeout_s=timeout_s)

    def hold(self, line: str, *, until: bytes, timeout_s: float) -> tuple[Held, bytes]:
        """See Transport.hold."""
        return self._chosen.hold(line, until=until, timeout_s=timeout_s)
