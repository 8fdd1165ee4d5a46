"""How often, in which order, and when: efforts, seeded order, cool-down, retries."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from devices.base import Device, TransientDeviceError
from devices.telemetry import Telemetry
from harness.errors import UnknownNameError
from harness.spec import Case, Frozen, TimingPlan, WarmupPlan

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Effort(Frozen, frozen=True, kw_only=True):
    """How much is spent on a case; the launch is the sample, so more effort is more launches.

    `pairs` of `pair_s` seconds each are what `--against` alternates.
    """

    name: str
    launches: int
    pairs: int
    pair_s: float
    warmup: WarmupPlan
    timing: TimingPlan


EFFORTS = {
    effort.name: effort
    for effort in (
        Effort(
            name="quick",
            launches=1,
            pairs=2,
            pair_s=1.0,
            warmup=WarmupPlan(max_s=0.6),
            timing=TimingPlan(target_s=0.4),
        ),
        Effort(
            name="standard",
            launches=3,
            pairs=5,
            pair_s=2.0,
            warmup=WarmupPlan(max_s=1.0),
            timing=TimingPlan(target_s=0.75),
        ),
        Effort(
            name="nightly",
            launches=7,
            pairs=14,
            pair_s=4.0,
            warmup=WarmupPlan(max_s=2.0),
            timing=TimingPlan(min_iterations=10, target_s=1.5),
        ),
    )
}


def find_effort(name: str) -> Effort:
    """The effort called `name`; raises UnknownNameError."""
    if name not in EFFORTS:
        raise UnknownNameError("effort", name, EFFORTS)
    return EFFORTS[name]


def shuffled(cases: Sequence[Case], seed: int) -> list[Case]:
    """Cases in an order that only the seed decides, so that drift hits no runtime twice the same way."""
    ordered = sorted(cases)
    random.Random(seed).shuffle(ordered)  # noqa: S311 - order, not secrecy
    return ordered


def cool_down(device: Device, *, limit_s: float = 300.0, step_s: float = 2.0) -> Telemetry:
    """Wait until the hottest sensor is below the device's limit; returns how the device feels then.

    A device with no limit or no sensor does not wait. After `limit_s` the wait ends with a warning: the
    telemetry recorded with the measurement tells that it was still hot.
    """
    began, limit_celsius = time.monotonic(), device.cooldown_celsius
    while True:
        now = retried(device.telemetry)
        hottest = now.hottest_celsius
        waited = time.monotonic() - began
        if limit_celsius is None or hottest is None or hottest <= limit_celsius:
            return now
        if waited >= limit_s:
            _log.warning(
                "%s: still %.0f °C after %.0f s, measured while hotter than its %.0f °C",
                device.name,
                hottest,
                waited,
                limit_celsius,
            )
            return now
        time.sleep(step_s)


def retried(action: Callable[[], T], *, attempts: int = 3, pause_s: float = 1.0) -> T:
    """Result of `action`, tried again on TransientDeviceError only, with doubling pauses."""
    for attempt in range(1, attempts):
        try:
            return action()
        except TransientDeviceError:
            time.sleep(pause_s * 2 ** (attempt - 1))
    return action()
