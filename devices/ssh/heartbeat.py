"""Noticing that the other end is gone: paramiko's keepalive does not look at the answers.

TCP itself would wait a quarter of an hour.
"""

import logging
import threading
import time
from contextlib import suppress

import paramiko

JOIN_TIMEOUT_S = 5.0
_log = logging.getLogger(__name__)


class Heartbeat:
    """Asks for a sign of life now and then; hangs up when none came for `silence_s`. `end` joins it."""

    def __init__(
        self, device: str, transport: paramiko.Transport, *, keepalive_s: float, silence_s: float
    ) -> None:
        self._device = device
        self._transport = transport
        self._keepalive_s = min(keepalive_s, silence_s / 4)
        self._silence_s = silence_s
        self._ending = threading.Event()
        self._heard_at = time.monotonic()
        # Two, as asking blocks for as long as nobody answers.
        self._threads = [
            threading.Thread(target=work, name=f"ssh {work.__name__.strip('_')}", daemon=True)
            for work in (self._ask, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def heard(self) -> None:
        """Something came from there, or was taken by it."""
        self._heard_at = time.monotonic()

    def end(self) -> None:
        """Stop asking; the connection has to be closed before."""
        self._ending.set()
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)

    def _ask(self) -> None:
        with suppress(paramiko.SSHException, OSError, EOFError):
            while not self._ending.wait(self._keepalive_s) and self._transport.is_active():
                self._transport.global_request("keepalive@openssh.com", wait=True)
                if self._transport.is_active():
                    self.heard()

    def _watch(self) -> None:
        while not self._ending.wait(self._keepalive_s) and self._transport.is_active():
            if time.monotonic() - self._heard_at > self._silence_s:
                _log.warning("%s: nothing heard for %g s, hanging up", self._device, self._silence_s)
                self._transport.close()
                self._transport.sock.close()
