"""Which worker of a parallel session (`-n`) runs which test: the tests of a device stay together.

pytest-xdist's own groups would do, but it writes them into a field that pytest no longer has.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from harness.plan import Plan


class DeviceScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """One worker per device: two that measure at once on one machine measure each other."""

    def __init__(self, config: pytest.Config, log: Any, plan: Plan) -> None:  # noqa: ANN401 - xdist has no public type
        super().__init__(config, log)
        self._devices = {plan.target_id(target): target.device for target in plan.targets}

    def _split_scope(self, nodeid: str) -> str:
        parameters = nodeid.rpartition("[")[2]
        for target_id, device in self._devices.items():
            if target_id in parameters:
                return device
        return str(super()._split_scope(nodeid))
