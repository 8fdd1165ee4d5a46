"""Measure one case on one device: launches, outputs against the reference, telemetry around them."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from devices.base import Device, DeviceAwayError, DeviceError, Progress, TransientDeviceError
from devices.facts import Facts
from devices.telemetry import Telemetry
from harness import parity, stats
from harness.arm import Arm, make_arm
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.launch import launch, load_outputs
from harness.preparation import Ready
from harness.probe import Probes
from harness.reference import Reference
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

_log = logging.getLogger(__name__)

NO_VERDICT = Verdict(kind="new")
"""Stands in a measurement until it has been compared."""

NO_REFERENCE = (
    "parity is unknown: the model has no reference. Give its ONNX as source, or name the runtime of an fp32 "
    "artifact that is known to be right as reference"
)
"""Why a measured case has no parity."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told how a measurement goes: launches of all, bytes of all, what the device failed at."""

    launched: Callable[[int, int], None] = lambda _done, _total: None
    sending: Progress | None = None
    trouble: Callable[[DeviceError], None] = lambda _error: None


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
    blank: Measurement,
    watch: Watch | None = None,
    probes: Probes | None = None,
    staging_turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Measurement:
    """Launch `ready` as often as the effort says and sum up; every way a launch can end is a result.

    `blank` says who, what and where; `probes` what bundles start there; `staging_turn` is entered for as long
    as files are pushed.
    """
    watch, probes = watch or Watch(), probes or Probes()
    began, started_at = time.monotonic(), _now()
    sent_before = device.content_bytes_sent
    launches: list[LaunchResult] = []
    judged: Parity | None = None
    arm: Arm | None = None
    status: Status = "measured"
    reason, not_applicable = "", False
    before: Telemetry | None = None
    lost = False
    try:
        with staging_turn():
            arm = retried(lambda: make_arm(device, ready, setting.effort, cache, progress=watch.sending))
        retried(lambda: probes.check(device, ready.bundle, arm, timeout_s=setting.launch_timeout_s))
        before = cool_down(device)
        for index in range(setting.effort.launches):
            with TemporaryDirectory(prefix="pocketbench-") as scratch:
                # One launch's outputs are enough: the others ran the same bytes on the same feed.
                outputs = Path(scratch, "outputs") if judged is None and ready.reference else None
                done = _launched(device, ready, arm, setting, cache, index=index, outputs=outputs)
                launches.append(done)
                if done.result is not None and outputs is not None:
                    try:
                        judged = _judge(ready.reference, ready.case, model, outputs)
                    except (OSError, ValueError, EOFError) as error:
                        status, reason = "failed", f"the runner's outputs cannot be read: {error}"
                        break
            watch.launched(index + 1, setting.effort.launches)
            if done.status != "measured":
                status, reason = done.status, done.reason
                break
    except UnsupportedError as error:
        status, reason, not_applicable = "unsupported", str(error), True
    except DeviceError as error:
        status, reason = "failed", str(error)
        lost = isinstance(error, TransientDeviceError | DeviceAwayError)
        watch.trouble(error)
    after = None if lost else felt(device)
    sent = device.content_bytes_sent - sent_before
    _log.info("%s: %s: %d content bytes sent, %s", device.name, ready.case.key, sent, status)
    if status == "measured" and ready.reference is None:
        reason = NO_REFERENCE
    if launches and launches[-1].signal == "SIGKILL":
        reason += _killed_for_memory(before, after)
    samples = [launch.result.samples_ns for launch in launches if launch.result is not None]
    return msgspec.structs.replace(
        blank,
        started_at=started_at,
        status=status,
        reason=reason,
        not_applicable=not_applicable,
        seconds=time.monotonic() - began,
        command=(*arm.staged.command, "job.json") if arm else (),
        environment=arm.staged.environment if arm else {},
        artifact=ready.artifact.record,
        bundle=ready.bundle.info,
        launches=tuple(launches),
        latency=stats.summarize(samples, seed=setting.seed) if samples else None,
        parity=judged,
        telemetry_before=_plain(before),
        telemetry_after=_plain(after),
        content_bytes_sent=sent,
    )


def blank_measurement(
    device: Device,
    facts: Facts | None,
    case: Case,
    model: Model,
    setting: Setting,
    *,
    expectation: Expectation | None = None,
) -> Measurement:
    """A measurement of nothing yet: who, what, where and when; no facts when the device was not reached."""
    return Measurement(
        run_id=setting.run_id,
        device=device.name,
        device_fingerprint=facts.fingerprint if facts else "",
        emulated=device.emulated,
        case=case,
        status="unsupported",
        started_at=_now(),
        seconds=0.0,
        effort=setting.effort.name,
        seed=setting.seed,
        facts=_plain(facts),
        budget=model.budget,
        expectation=expectation,
        verdict=NO_VERDICT,
    )


def _launched(
    device: Device,
    ready: Ready,
    arm: Arm,
    setting: Setting,
    cache: Cache,
    *,
    index: int,
    outputs: Path | None,
) -> LaunchResult:
    """One launch; when the connection was lost, once more from staging on."""

    def attempt() -> LaunchResult:
        return launch(
            device, arm.staged, arm.job, index=index, timeout_s=setting.launch_timeout_s, outputs=outputs
        )

    def again() -> LaunchResult:
        # Back from a reboot it may lack what was staged; names are by content, so the arm stays right.
        make_arm(device, ready, setting.effort, cache)
        return attempt()

    try:
        return attempt()
    except TransientDeviceError as error:
        _log.warning("%s: launch %d of %s is tried again: %s", device.name, index, ready.case.key, error)
        return retried(again)


def felt(device: Device) -> Telemetry | None:
    """Telemetry, if the device can still be asked: what was measured counts without."""
    try:
        return device.telemetry()
    except DeviceError as error:
        _log.warning("%s: no telemetry after the measurement: %s", device.name, error)
        return None


def _killed_for_memory(before: Telemetry | None, after: Telemetry | None) -> str:
    """What the kernel's own count says about a SIGKILL that nobody here sent."""
    counts = [telemetry.oom_kills for telemetry in (before, after) if telemetry is not None]
    known = [count for count in counts if count is not None]
    if len(known) < 2 or known[1] <= known[0]:
        return ""
    free = before.memory_available_bytes if before else None
    had = f" ({free / 2**20:.0f} MiB were free before)" if free is not None else ""
    return f" The kernel's OOM killer ended it{had}: the case needs more memory than the device gives"


def _judge(reference: Reference | None, case: Case, model: Model, outputs: Path) -> Parity | None:
    if reference is None:
        return None
    return parity.judge(
        reference.arrays(),
        load_outputs(outputs, reference.outputs),
        precision=case.precision,
        task=model.task,
        override=model.parity.get(case.precision),
        reference_label=reference.label,
    )


def _plain(record: msgspec.Struct | None) -> dict[str, Any]:
    plain: dict[str, Any] = {} if record is None else msgspec.to_builtins(record)
    return plain


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
