"""Which worker of a parallel session (`-n`) runs which test: the tests of a device stay together.

pytest-xdist's own groups would do, but it writes them into a field that pytest no longer has.
"""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from harness.plan import Plan


class DeviceScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """One worker per device: two that measure at once on one machine measure each other."""

    def __init__(self, config: pytest.Config, log: Any, plan: Plan) -> None:  # noqa: ANN401 - xdist has no public type
        super().__init__(config, log)
        targets = {plan.target_id(target): target.device for target in plan.targets}
        # In test names pytest escapes what is not ASCII, unless it is configured not to.
        escaped = {name.encode("unicode_escape").decode(): device for name, device in targets.items()}
        self._devices = {**escaped, **targets}

    def _split_scope(self, nodeid: str) -> str:
        return device_of(nodeid, self._devices) or str(super()._split_scope(nodeid))


def device_of(nodeid: str, devices: Mapping[str, str]) -> str | None:
    """The device that the test `nodeid` measures on, or None; `devices` are devices by target id.

    A target may be one of several parameters of a test. Of target ids that are part of each other the longest
    counts, and none counts from within a word: what is `pi`'s is part of what is `rpi`'s.
    """
    exact = [target_id for target_id in devices if nodeid.endswith(f"[{target_id}]")]
    among = [target_id for target_id in devices if _has_parameter(nodeid, target_id)]
    chosen = max(exact or among, key=len, default=None)
    return None if chosen is None else devices[chosen]


def _has_parameter(nodeid: str, target_id: str) -> bool:
    """Whether `target_id` is between brackets and dashes in it, as pytest joins parameters."""
    return re.search(rf"[\[-]{re.escape(target_id)}[\]-]", nodeid) is not None
