"""Measure one case on one device: launches, outputs against the reference, telemetry around them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from devices.base import Device, DeviceError
from harness import parity, stats
from harness.arm import Arm, make_arm
from harness.cache import Cache
from harness.launch import launch, load_outputs
from harness.preparation import Ready
from harness.schedule import Effort, cool_down, retried
from harness.spec import (
    Case,
    Expectation,
    Frozen,
    LaunchResult,
    Measurement,
    Model,
    Parity,
    Status,
    Verdict,
)

NO_VERDICT = Verdict(kind="new")
"""Stands in a measurement until it has been compared."""


class Setting(Frozen, frozen=True, kw_only=True):
    """What all measurements of a run share."""

    run_id: str
    effort: Effort
    seed: int
    launch_timeout_s: float = 180.0


def measure(
    device: Device,
    ready: Ready,
    model: Model,
    setting: Setting,
    cache: Cache,
    *,
    expectation: Expectation | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Measurement:
    """Launch `ready` as often as the effort says and sum up; every way a launch can end is a result."""
    began, started_at = time.monotonic(), _now()
    blank = blank_measurement(
        device, ready.case, model, setting, expectation=expectation, started_at=started_at
    )
    launches: list[LaunchResult] = []
    judged: Parity | None = None
    arm: Arm | None = None
    status: Status = "measured"
    reason = ""
    before: dict[str, Any] = {}
    try:
        cool_down(device)
        before = _plain(device.telemetry())
        arm = retried(lambda: make_arm(device, ready, setting.effort, cache))
        for index in range(setting.effort.launches):
            with TemporaryDirectory(prefix="pocketbench-") as scratch:
                # One launch's outputs are enough: the others ran the same bytes on the same feed.
                outputs = Path(scratch, "outputs") if judged is None else None
                done = _launched(device, arm, index, setting, outputs)
                launches.append(done)
                if done.result is not None and outputs is not None:
                    try:
                        judged = _judge(ready, model, outputs)
                    except (OSError, ValueError, EOFError) as error:
                        status, reason = "failed", f"the runner's outputs cannot be read: {error}"
                        break
            progress(index + 1, setting.effort.launches)
            if done.status != "measured":
                status, reason = done.status, done.reason
                break
    except DeviceError as error:
        status, reason = "failed", str(error)
    samples = [launch.result.samples_ns for launch in launches if launch.result is not None]
    return msgspec.structs.replace(
        blank,
        status=status,
        reason=reason,
        seconds=time.monotonic() - began,
        command=(*arm.staged.command, "job.json") if arm else (),
        environment=arm.staged.environment if arm else {},
        artifact=ready.artifact.record,
        bundle=ready.bundle.info,
        launches=tuple(launches),
        latency=stats.summarize(samples, seed=setting.seed) if samples else None,
        parity=judged,
        telemetry_before=before,
        telemetry_after=_plain(device.telemetry()),
    )


def blank_measurement(
    device: Device,
    case: Case,
    model: Model,
    setting: Setting,
    *,
    expectation: Expectation | None = None,
    started_at: str | None = None,
) -> Measurement:
    """A measurement of nothing yet: who, what, where and when."""
    facts = device.facts()
    return Measurement(
        run_id=setting.run_id,
        device=device.name,
        device_fingerprint=facts.fingerprint,
        emulated=device.emulated,
        case=case,
        status="unsupported",
        started_at=started_at or _now(),
        seconds=0.0,
        effort=setting.effort.name,
        seed=setting.seed,
        facts=_plain(facts),
        budget=model.budget,
        expectation=expectation,
        verdict=NO_VERDICT,
    )


def _launched(device: Device, arm: Arm, index: int, setting: Setting, outputs: Path | None) -> LaunchResult:
    def action() -> LaunchResult:
        return launch(
            device, arm.staged, arm.job, index=index, timeout_s=setting.launch_timeout_s, outputs=outputs
        )

    return retried(action)


def _judge(ready: Ready, model: Model, outputs: Path) -> Parity:
    return parity.judge(
        ready.reference.arrays(),
        load_outputs(outputs, ready.reference.outputs),
        precision=ready.case.precision,
        task=model.task,
        override=model.parity.get(ready.case.precision),
        reference_label=ready.reference.label,
    )


def _plain(record: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
