"""A run: measures each target once, keeps it at once, compares it with its baseline."""

import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

import msgspec

from devices.base import Device, DeviceError, Progress
from devices.facts import Facts
from harness.bundles import Bundle
from harness.cache import Cache
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.history import History
from harness.measure import Setting, blank_measurement, measure
from harness.paired import judge_pairs
from harness.pairing import measure_against
from harness.plan import Plan, Target
from harness.platforms import Platform, platform_of
from harness.preparation import Outcome, Ready, Wanted, make_all_ready
from harness.results import RunWriter
from harness.schedule import retried
from harness.spec import Against, Case, Measurement, RunInfo, Verdict
from harness.stats import noise_floor
from harness.verdict import judge


class Run:
    """Life cycle: made, `prepare` once, `measurement` for each target, `close`.

    A target is measured when it is first asked for; whoever asks again gets the same measurement.
    `supplied` are the user's own bundles.
    """

    def __init__(
        self,
        plan: Plan,
        writer: RunWriter,
        history: History,
        cache: Cache,
        *,
        launch_timeout_s: float = 180.0,
        baseline: str | None = None,
        resumed: Sequence[Measurement] = (),
        supplied: Sequence[Bundle] = (),
    ) -> None:
        self.plan = plan
        self.writer = writer
        self.notes: list[str] = []
        self._history = history
        self._cache = cache
        self._baseline = baseline
        self._setting = Setting(
            run_id=writer.info.run_id, effort=plan.effort, seed=plan.seed, launch_timeout_s=launch_timeout_s
        )
        self._supplied = supplied
        self._facts: dict[str, Facts | DeviceError] = {}
        self._outcomes: dict[Wanted, Outcome] = {}
        self._measured = {Target(device=m.device, case=m.case): m for m in resumed if m.status == "measured"}
        self._open = ExitStack()
        self._opened: dict[str, Device | DeviceError] = {}
        self._writable = True

    def prepare(self, targets: Sequence[Target], report: Callable[[Case, int, int], None]) -> None:
        """Ask the devices what they are, then make everything their cases need.

        What cannot be had, or a device that cannot be reached, becomes those cases' result.
        """
        names = dict.fromkeys(target.device for target in targets)
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            self._facts.update(zip(names, pool.map(self._ask, names), strict=True))
        wanted = [
            Wanted(case=case, platform=platform_of(facts))
            for target in targets
            if isinstance(facts := self._facts[target.device], Facts)
            for case in (target.case, self.plan.other(target.case))
            if case is not None
        ]
        self._outcomes.update(
            make_all_ready(
                self._cache, self.plan.zoo, self.plan.base, wanted, supplied=self._supplied, report=report
            )
        )

    @property
    def built(self) -> Sequence[str]:
        """What `prepare` had to build: empty when everything was in the cache."""
        return self._cache.built

    def measurement(
        self,
        target: Target,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        sending: Progress | None = None,
    ) -> Measurement:
        """The target's measurement, judged and stored; `progress` is told of launches, `sending` of bytes."""
        if target not in self._measured:
            done = self._compared(self._measure(target, progress, sending))
            self._measured[target] = done
            self._append(done)
            self._record(done)
        return self._measured[target]

    def release(self) -> None:
        """Let go of the devices; more than once is no error."""
        self._open.close()

    def close(self) -> RunInfo:
        """Let go of the devices and write down that the run is over; a full disk becomes a note."""
        self.release()
        if self._writable:
            try:
                self.writer.finish()
            except PocketbenchError as error:
                self._note(str(error))
        self._record()
        self._history.close()
        return self.writer.info

    def _measure(
        self, target: Target, progress: Callable[[int, int], None], sending: Progress | None
    ) -> Measurement:
        facts = self._facts[target.device]
        if isinstance(facts, DeviceError):
            return msgspec.structs.replace(self._blank(target), status="failed", reason=str(facts))
        outcome = self._outcomes[Wanted(case=target.case, platform=platform_of(facts))]
        if isinstance(outcome, PocketbenchError):
            return self._impossible(target, outcome)
        opened = self._device(target.device)
        if isinstance(opened, DeviceError):
            return msgspec.structs.replace(self._blank(target), status="failed", reason=str(opened))
        done = measure(
            opened,
            outcome,
            self.plan.zoo[target.case.model],
            self._setting,
            self._cache,
            blank=self._blank(target),
            progress=progress,
            sending=sending,
        )
        if done.status == "measured":
            return self._alternated(opened, outcome, done, platform_of(facts))
        tail = "\n".join(launch.stderr_tail for launch in done.launches if launch.stderr_tail)
        return self._logged(done, f"{done.reason}\n\n{tail}")

    def _alternated(self, device: Device, ready: Ready, done: Measurement, platform: Platform) -> Measurement:
        """`done` with its pairs, when the session holds another version against it."""
        other = self.plan.other(ready.case)
        if other is None:
            return done
        outcome = self._outcomes[Wanted(case=other, platform=platform)]
        if isinstance(outcome, PocketbenchError):
            against = Against(engine=other.engine, reason=str(outcome))
        else:
            against = measure_against(device, ready, outcome, self.plan.effort, self._cache)
        return msgspec.structs.replace(done, against=against)

    def _blank(self, target: Target) -> Measurement:
        facts = self._facts[target.device]
        return blank_measurement(
            self.plan.devices[target.device],
            facts if isinstance(facts, Facts) else None,
            target.case,
            self.plan.zoo[target.case.model],
            self._setting,
            expectation=self.plan.expectation(target.case),
        )

    def _impossible(self, target: Target, error: PocketbenchError) -> Measurement:
        done = msgspec.structs.replace(
            self._blank(target),
            # Neither this cell's nor this machine's nature: no network, a full disk, a wrong file.
            status="unsupported" if isinstance(error, UnsupportedError) else "failed",
            reason=str(error),
            # Its subclasses are refusals of this model.
            not_applicable=type(error) is UnsupportedError,
        )
        return self._logged(done, f"{error}\n\n{error.log}") if isinstance(error, ConversionError) else done

    def _logged(self, measurement: Measurement, text: str) -> Measurement:
        try:
            path = self.writer.log_path(measurement.case, measurement.device)
            path.write_text(text)
        except OSError as error:
            self._note(f"a log could not be written in {self.writer.directory}: {error.strerror}")
            return measurement
        return msgspec.structs.replace(measurement, log=str(path.relative_to(self.writer.directory)))

    def _compared(self, measurement: Measurement) -> Measurement:
        if measurement.against is not None:
            return msgspec.structs.replace(measurement, verdict=judge_pairs(measurement.against))
        baseline, noise = None, 0.0
        fingerprint = measurement.device_fingerprint
        try:
            trend = self._history.trend(measurement.case.key, fingerprint)
            noise = noise_floor([point.latency_ms for point in trend])
            baseline = self._history.baseline(
                measurement.case.key,
                fingerprint,
                before_run=measurement.run_id,
                named=self._baseline,
            )
        except PocketbenchError as error:
            self._note(str(error))
        verdict: Verdict = judge(measurement, baseline, noise_floor=noise)
        return msgspec.structs.replace(measurement, verdict=verdict)

    def _append(self, measurement: Measurement) -> None:
        try:
            self.writer.append(measurement)
        except PocketbenchError:
            self._writable = False
            raise

    def _record(self, *measurements: Measurement) -> None:
        try:
            self._history.record(self.writer.info, *measurements)
        except PocketbenchError as error:
            self._note(f"the history was not written: {error}")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _ask(self, name: str) -> Facts | DeviceError:
        try:
            return retried(self.plan.devices[name].facts)
        except DeviceError as error:
            return error

    def _device(self, name: str) -> Device | DeviceError:
        """The device, opened when it is first needed, or why it cannot be."""
        if name not in self._opened:
            try:
                self._opened[name] = self._open.enter_context(self.plan.devices[name])
            except DeviceError as error:
                self._opened[name] = error
        return self._opened[name]


def describe_run(run_id: str, started_at: str, argv: Sequence[str], plan: Plan) -> RunInfo:
    """What is known of a run before it begins."""
    return RunInfo(
        run_id=run_id,
        started_at=started_at,
        argv=tuple(argv),
        effort=plan.effort.name,
        seed=plan.seed,
        devices=tuple(plan.devices),
        pocketbench_version=version("pocketbench"),
        source_revision=_revision(),
        planned=len(plan.targets),
        host=_host(),
    )


def _host() -> dict[str, Any]:
    return {
        "node": platform.node(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "clock": time.get_clock_info("perf_counter").resolution,
    }


def _revision() -> str | None:
    """Git revision of the working directory, so that a verdict can be traced to a change."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
