"""The devices of a run: asked what they are, opened when first needed, given up when they keep failing."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from devices.base import Device, DeviceBusyError, DeviceError, TransientDeviceError
from devices.facts import Facts
from harness.schedule import retried

GIVE_UP_AFTER = 3
"""Cases in a row that a device, not the case, may fail before the rest of its cases are not tried."""


class Fleet:
    """Life cycle: made, `ask`, then `facts` and `opened` for each case, `close`.

    What a device cannot do is an answer, not an exception: the other devices go on.
    """

    def __init__(self, devices: Mapping[str, Device]) -> None:
        self._devices = devices
        self._facts: dict[str, Facts | DeviceError] = {}
        self._open = ExitStack()
        self._opened: dict[str, Device | DeviceError] = {}
        self._failures: dict[str, int] = {}

    def ask(self, names: Iterable[str]) -> None:
        """Ask the devices called `names` what they are, all at once."""
        wanted = list(names)
        with ThreadPoolExecutor(max(1, len(wanted))) as pool:
            self._facts.update(zip(wanted, pool.map(self._ask, wanted), strict=True))

    def facts(self, name: str) -> Facts | DeviceError:
        """What the device answered, or why it did not; it must have been asked."""
        return self._facts[name]

    def known(self, name: str) -> Facts | None:
        """What the device answered, if it was asked and did."""
        facts = self._facts.get(name)
        return facts if isinstance(facts, Facts) else None

    def opened(self, name: str) -> Device | DeviceError:
        """The device, opened when it is first needed, or why it cannot be."""
        if name not in self._opened:
            try:
                self._opened[name] = self._enter(self._devices[name])
            except DeviceError as error:
                self._opened[name] = error
        return self._opened[name]

    def count(self, name: str, failure: DeviceError | None) -> bool:
        """Count a case that the device failed, or did not; whether it is given up with this one."""
        self._failures[name] = 0 if failure is None else self._failures.get(name, 0) + 1
        if failure is None or self._failures[name] != GIVE_UP_AFTER:
            return False
        self._opened[name] = DeviceError(
            f"{name}: given up after {GIVE_UP_AFTER} cases in a row that it failed, the last with: {failure}"
        )
        return True

    def close(self) -> None:
        """Let go of the devices; more than once is no error."""
        self._open.close()

    def _ask(self, name: str) -> Facts | DeviceError:
        # The connection ends with the answer: another process of this run may measure there.
        device = self._devices[name]
        try:
            return retried(device.facts)
        except DeviceError as error:
            return error
        finally:
            device.close()

    def _enter(self, device: Device) -> Device:
        try:
            return self._open.enter_context(device)
        except DeviceBusyError:
            raise
        except TransientDeviceError:
            return retried(lambda: self._open.enter_context(device))
