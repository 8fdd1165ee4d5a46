"""What every device file may say; a driver adds its own keys in a struct that inherits from this one."""

from typing import Annotated

import msgspec

from devices.base import Device

Celsius = Annotated[float, msgspec.Meta(ge=20, le=120)]
"""A temperature a device may be asked to cool down to; the bounds catch millidegrees and typing errors."""


class Cooldown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a device is cool enough to measure on."""

    max_celsius: Celsius | None = None


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device file. `cpus` is a list as the kernel writes it: `4-7` or `0,2`."""

    driver: str
    description: str = ""
    workdir: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    cpus: str | None = None
    emulated: bool = False
    cooldown: Cooldown = Cooldown()

    @property
    def cpu_numbers(self) -> tuple[int, ...] | None:
        """CPUs to pin to, or None for all; raises ValueError."""
        return None if self.cpus is None else parse_cpu_list(self.cpus)

    def create(self, name: str, *, lock_timeout_s: float) -> Device:
        """The device this file describes, not opened; every driver says how."""
        raise NotImplementedError


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers of a list such as `0-3,6` (see cpuset(7), "List format"); raises ValueError."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not (_is_number(first) and (not dash or _is_number(last))):
            raise ValueError(f"{text!r} is no CPU list; write it as 4-7 or 0,2")
        low, high = int(first), int(last or first)
        if high < low or high >= 4096:
            raise ValueError(f"{text!r} is no CPU list: {part.strip()} runs backwards or too far")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6
