"""How a device feels at one moment: every reading is optional, unknown is None."""

import msgspec


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of a device's sensors."""

    at: str
    temperatures_celsius: dict[str, float] = {}
    frequencies_khz: dict[str, int] = {}
    governor: str | None = None
    battery_percent: float | None = None
    charging: bool | None = None
    screen_on: bool | None = None
    """Of a phone; with the screen off big cores may be slow or parked."""
    throttled: bool | None = None
    throttle_flags: tuple[str, ...] = ()
    load_average: float | None = None
    memory_available_bytes: int | None = None
    oom_kills: int | None = None
    """How often the kernel killed a process for want of memory since boot: a rise explains a SIGKILL."""

    @property
    def hottest_celsius(self) -> float | None:
        """The highest temperature any sensor gave, or None when there is no sensor."""
        return max(self.temperatures_celsius.values(), default=None)
