"""What of a device is set while it is open for measuring, and put back afterwards.

Every such setting keeps what was there before in a file of its own in the work directory, so that the next
session puts back what one that died left set.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from devices.remote.shell import Shell

SUFFIX = ".before"
"""How the files end in which settings keep what was there."""

_log = logging.getLogger(__name__)


class KeptSetting(Protocol):
    """One setting of a device: each call is one round trip, and only the connection raises."""

    @property
    def name(self) -> str:
        """What messages call it; `<name>.before` in the work directory is its file."""
        ...

    @property
    def wanted(self) -> bool:
        """Whether the device's file asks for it. One that is not is never set, only put back."""
        ...

    def set(self) -> str | None:
        """Set it and see that it took; otherwise why not, and nothing changed."""
        ...

    def put_back(self) -> str | None:
        """Make it what it was before the first `set`, also one of a session that died; else why not."""
        ...


MakeKept = Callable[[Shell, str], KeptSetting]
"""Makes a setting of the device behind a shell; the string is its work directory."""


class KeptSettings:
    """All of a device's. Life cycle: `begin` once it is locked, `repeat` after a lost connection, `end`.

    What a device refuses is a warning, never an error: it is measured as it is.
    """

    def __init__(self, device: str, settings: Sequence[KeptSetting]) -> None:
        self._device = device
        self._settings = settings
        self._begun: list[KeptSetting] = []

    @property
    def names(self) -> str:
        """Those to be put back, as a message calls them; empty when there are none."""
        return " and ".join(setting.name for setting in self._begun)

    def begin(self, left: Collection[str]) -> None:
        """Set what is wanted, and put back the others whose file is among `left`, what lies there.

        Raises DeviceError when the connection is lost.
        """
        for setting in self._settings:
            if setting.wanted:
                self._begun.append(setting)
                self._set(setting)
            elif setting.name + SUFFIX in left:
                self._put_back(setting)

    def repeat(self) -> None:
        """Set it all again: the device may have been restarted. Raises as `begin` does."""
        for setting in self._begun:
            self._set(setting)

    def end(self) -> None:
        """Put back what was set. Raises as `begin` does, and when called again goes on there."""
        while self._begun:
            self._put_back(self._begun[-1])
            self._begun.pop()

    def _set(self, setting: KeptSetting) -> None:
        reason = setting.set()
        if reason:
            _log.warning("%s: its %s stays as it is: %s", self._device, setting.name, reason)

    def _put_back(self, setting: KeptSetting) -> None:
        reason = setting.put_back()
        if reason:
            _log.warning("%s: its %s could not be put back: %s", self._device, setting.name, reason)
