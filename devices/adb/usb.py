"""A phone on USB without an adb server, by adb-shell and libusb: `pip install adb-shell[usb]`.

This has not been tried on a phone. It keeps to AOSP's packages/modules/adb/client/usb_linux.cpp.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from devices.adb.transport import STATES
from devices.base import DeviceError, TransientDeviceError

if TYPE_CHECKING:
    from adb_shell.transport.usb_transport import UsbTransport

_STEP_S = 0.5
"""libusb cannot be woken while it waits: so long a thread may take to see that it has to end."""


class UsbPipe:
    """A Pipe over a phone's adb interface: a transfer for each header, and one for each payload."""

    def __init__(self, transport: "UsbTransport") -> None:
        import usb1  # noqa: PLC0415 - optional

        self._usb1 = usb1
        self._transport = transport
        self._limit_s: float | None = None
        self._is_broken = threading.Event()
        transport.connect()
        ends = transport._setting.iterEndpoints()  # noqa: SLF001 - it tells this to nobody
        self._packet_bytes = min(end.getMaxPacketSize() for end in ends)

    def read_into(self, buffer: memoryview) -> None:
        """See Pipe.read_into."""
        while buffer:
            data = self._step(self._transport.bulk_read, len(buffer))
            buffer[: len(data)] = data
            buffer = buffer[len(data) :]

    def write(self, header: bytes, payload: Sequence[memoryview]) -> None:
        """See Pipe.write. A payload of whole packets is told to be over by an empty one."""
        body = b"".join(payload)
        for block in (header, body) if body else (header,):
            sent = self._step(self._transport.bulk_write, block)
            if sent != len(block):
                raise ConnectionError(f"the phone took {sent} of {len(block)} bytes")
        if body and len(body) % self._packet_bytes == 0:
            self._step(self._transport.bulk_write, b"")

    def limit(self, seconds: float | None) -> None:
        """See Pipe.limit."""
        self._limit_s = seconds

    def break_off(self) -> None:
        """See Pipe.break_off."""
        self._is_broken.set()

    def close(self) -> None:
        """See Pipe.close."""
        self._transport.close()

    def _step(self, transfer: Any, what: Any) -> Any:  # noqa: ANN401 - adb-shell has no types
        """One transfer, tried again while nothing of it has moved; raises ConnectionError, TimeoutError."""
        from adb_shell.exceptions import UsbReadFailedError, UsbWriteFailedError  # noqa: PLC0415 - optional

        waited_s = 0.0
        while not self._is_broken.is_set():
            try:
                return transfer(what, _STEP_S)
            except (UsbReadFailedError, UsbWriteFailedError) as error:
                timeout = next((a for a in error.args if isinstance(a, self._usb1.USBErrorTimeout)), None)
                if timeout is None:
                    raise ConnectionError(f"USB: {error}") from error
                if moved := getattr(timeout, "received", b"") or getattr(timeout, "transferred", 0):
                    return moved
            waited_s += _STEP_S
            if self._limit_s is not None and waited_s >= self._limit_s:
                raise TimeoutError("the phone is silent")
        raise ConnectionError("it was closed")


def open_usb(device: str, serial: str | None) -> tuple[str, UsbPipe]:
    """The phone with that serial number, or the only one, and its serial number.

    Raises DeviceError, TransientDeviceError with what to do.
    """
    try:
        import usb1  # noqa: PLC0415 - optional
        from adb_shell.transport.usb_transport import UsbTransport  # noqa: PLC0415 - optional
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"{device}: phones on USB need libusb here ({error}): pip install 'pocketbench[usb]', or set "
            'transport = "server" in its file'
        ) from error
    try:
        phones = {phone.serial_number: phone for phone in UsbTransport.find_all_adb_devices()}
        wanted = serial or _only(device, list(phones))
        if wanted not in phones:
            raise TransientDeviceError(
                f"{device}: no phone {wanted!r} on USB (there: {', '.join(phones) or 'none'}): is it plugged "
                "in, and USB debugging on?"
            )
        return wanted, UsbPipe(phones[wanted])
    except usb1.USBErrorAccess as error:
        raise DeviceError(f"{device}: {STATES['no permissions']}") from error
    except usb1.USBErrorBusy as error:
        raise DeviceError(
            f"{device}: another program has the phone, such as an adb server: end that with "
            '`adb kill-server`, or set transport = "server" in its file'
        ) from error
    except usb1.USBError as error:
        raise TransientDeviceError(f"{device}: the phone on USB cannot be reached ({error})") from error


def _only(device: str, serials: list[str]) -> str:
    if not serials:
        raise TransientDeviceError(
            f"{device}: no phone on USB: plug one in and turn USB debugging on (Settings, Developer "
            "options), or give its `serial` as host:port"
        )
    if len(serials) > 1:
        raise DeviceError(
            f"{device}: {len(serials)} phones are there ({', '.join(sorted(serials))}): say which by "
            "`serial` in its file"
        )
    return serials[0]
