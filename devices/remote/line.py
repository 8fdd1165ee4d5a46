"""A connection that is there when it is needed: made at once the first time, waited for when it was lost."""

import logging
import time

from devices.base import DeviceAwayError, TransientDeviceError
from devices.remote.transport import Transport

_log = logging.getLogger(__name__)


class Line:
    """The connection of one device; who waited for it in vain once does not wait again."""

    def __init__(self, device: str, transport: Transport) -> None:
        self._device = device
        self._transport = transport
        self._was_connected = False
        self._gave_up = False

    def reach(self, patience_s: float) -> bool:
        """Connect unless that is done; True when it was connected before and had been lost.

        The first attempt is one attempt; a device that was there is waited for up to `patience_s`. Raises
        DeviceError, TransientDeviceError, DeviceAwayError.
        """
        if self._transport.connected:
            return False
        if self._was_connected:
            self._wait(patience_s)
            return True
        self._transport.connect()
        self._was_connected = True
        return False

    def close(self) -> None:
        """Hang up, and forget what was; never raises."""
        self._transport.close()
        self._was_connected = self._gave_up = False

    def _wait(self, patience_s: float) -> None:
        device, transport = self._device, self._transport
        _log.warning("%s: the connection was lost, connecting to %s again", device, transport.address)
        began = time.monotonic()
        patience_s = 0.0 if self._gave_up else patience_s
        pause_s = 0.5
        while True:
            try:
                transport.connect()
            except TransientDeviceError as error:
                away = time.monotonic() - began
                if away + pause_s > patience_s:
                    # From now on one attempt per call: it may come back, but nobody waits for it again.
                    waited = "before" if self._gave_up else f"for {away:.0f} s"
                    self._gave_up = True
                    raise DeviceAwayError(f"{error} (it was waited for in vain, {waited})") from error
                time.sleep(pause_s)
                pause_s = min(5.0, pause_s * 2)
            else:
                self._gave_up = False
                _log.warning("%s: connected again after %.1f s", device, time.monotonic() - began)
                return
