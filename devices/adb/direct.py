"""A phone with no adb server between: over TCP, or over USB, which has not been tried on a phone.

adb-shell has the keys' format, the constants and USB. Its streams take short writes for whole ones, do not
notice a connection's end, kill silent commands, and lose calls of threads that share one: ours are link.py's.
"""

import logging
import re

from devices.adb.handshake import Banner, UntrustedError, WantsTlsError, shake_hands
from devices.adb.keys import KeyFileError, load_keys
from devices.adb.link import Link
from devices.adb.pipe import Pipe, TcpPipe
from devices.adb.stream import Stream, StreamLostError
from devices.adb.transport import CONNECT_TIMEOUT_S, AdbTransport, unfit, unreachable
from devices.adb.wire import NotAdbError, Wire
from devices.base import DeviceError, TransientDeviceError

QUESTION_TIMEOUT_S = 10.0
"""How long somebody may take to look at the phone's screen and accept this computer's key."""

_HOST_AND_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+)):(\d{1,5})")
_log = logging.getLogger(__name__)


class TlsWantedError(DeviceError):
    """The phone speaks TLS only, which an adb server does."""


class AdbDirectConnection(AdbTransport):
    """A Transport to `serial`: host:port, or a serial number on USB; None means the only phone on USB."""

    def __init__(
        self,
        device: str,
        serial: str | None,
        *,
        key_file: str | None = None,
        question_timeout_s: float = QUESTION_TIMEOUT_S,
    ) -> None:
        super().__init__(device, _address(serial or "the only phone"))
        self._wanted = serial
        self._key_file = key_file
        self._question_timeout_s = question_timeout_s
        self._link: Link | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._connected and self._is_there()

    def connect(self) -> None:
        """Connect and prove who we are; raises DeviceError, TransientDeviceError, TlsWantedError."""
        self.close()
        serial, pipe = self._reach()
        self.address = _address(serial)
        wire = Wire(pipe)
        try:
            banner = self._shake_hands(serial, wire, pipe)
            self._check(serial, state=banner.state, features=banner.features)
        except BaseException:
            pipe.close()
            raise
        self._link = Link(wire, pipe)
        self._connected = True
        self._check_is_up()

    def close(self) -> None:
        """Hang up; never raises."""
        super().close()
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _open_service(self, service: bytes) -> Stream:
        if self._link is None:
            raise StreamLostError("it was not reached")
        return self._link.open(service)

    def _is_there(self) -> bool:
        return self._link is not None and self._link.stands

    def _reach(self) -> tuple[str, Pipe]:
        place = host_and_port(self._wanted)
        if place is None:
            from devices.adb.usb import open_usb  # noqa: PLC0415 - needs more than is always there

            return open_usb(self.device, self._wanted)
        serial = self._wanted or ""
        try:
            return serial, TcpPipe(*place, timeout_s=CONNECT_TIMEOUT_S)
        except OSError as error:
            raise unreachable(self.device, serial, error.strerror or str(error)) from error

    def _shake_hands(self, serial: str, wire: Wire, pipe: Pipe) -> Banner:
        try:
            return shake_hands(
                wire,
                pipe,
                lambda: load_keys(self._key_file),
                on_question=self._ask_to_look,
                question_timeout_s=self._question_timeout_s,
            )
        except WantsTlsError as error:
            raise TlsWantedError(
                f"{self.device}: {serial} wants TLS, which only an adb server speaks: pair with it by `adb "
                'pair`, then `adb connect`, and set transport = "server" in its file'
            ) from error
        except UntrustedError as error:
            raise unfit(self.device, serial, "unauthorized") from error
        except KeyFileError as error:
            raise DeviceError(
                f"{self.device}: {error}: correct `key_file` in its file, or make one with `adb keygen`"
            ) from error
        except NotAdbError as error:
            raise DeviceError(f"{self.device}: {serial}: {error}: is the port right?") from error
        except TimeoutError as error:
            raise unfit(self.device, serial, "offline") from error
        except OSError as error:
            raise TransientDeviceError(
                f"{self.device}: {serial} hung up ({error.strerror or error}): is it still starting?"
            ) from error

    def _ask_to_look(self) -> None:
        _log.warning(
            "%s: look at its screen: it asks whether it may trust this computer (%.0f s)",
            self.device,
            self._question_timeout_s,
        )


def host_and_port(serial: str | None) -> tuple[str, int] | None:
    """What a serial such as `192.168.1.7:5555` or `[fe80::1]:5555` leads to; None for all others."""
    found = _HOST_AND_PORT.fullmatch(serial or "")
    return (found[1] or found[2], int(found[3])) if found and int(found[3]) < 65536 else None


def _address(serial: str) -> str:
    return f"{serial} (direct)"
