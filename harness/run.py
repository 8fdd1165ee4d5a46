"""A run: measures each target once, keeps it at once, compares it with its baseline."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import msgspec

from devices.base import Device, DeviceError
from harness.bundles import Bundle
from harness.cache import Cache, Downloading
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.fleet import Fleet
from harness.history import History
from harness.measure import Setting, Watch, blank_measurement, felt, measure
from harness.paired import judge_pairs
from harness.pairing import measure_against
from harness.plan import Plan, Target
from harness.platforms import Platform, platform_of
from harness.preparation import Outcome, Ready, Wanted, make_all_ready
from harness.probe import Probes
from harness.quiet import Quiet
from harness.results import RunWriter
from harness.spec import Against, Case, Measurement, RunInfo, Verdict
from harness.stats import noise_floor
from harness.verdict import judge, other_conditions


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
        self._outcomes: dict[Wanted, Outcome] = {}
        self._measured = {Target(device=m.device, case=m.case): m for m in resumed if m.status == "measured"}
        self._fleet = Fleet(plan.devices)
        self._probes = Probes()
        self._quiet = Quiet(writer.directory / ".quiet.lock")
        self._writable = True

    def prepare(
        self,
        targets: Sequence[Target],
        report: Callable[[Case, int, int], None],
        downloading: Downloading,
    ) -> None:
        """Ask the devices what they are, then make everything their cases need.

        What cannot be had, or a device that cannot be reached, becomes those cases' result.
        """
        lacking = [target for target in targets if target not in self._measured]
        self._fleet.ask(dict.fromkeys(target.device for target in lacking))
        for target in targets:
            self._forget_if_other(target)
        wanted = [
            Wanted(case=case, platform=platform_of(facts))
            for target in targets
            if target not in self._measured and (facts := self._fleet.known(target.device))
            for case in (target.case, self.plan.other(target.case))
            if case is not None
        ]
        self._outcomes.update(
            make_all_ready(
                self._cache.telling(downloading),
                self.plan.zoo,
                self.plan.base,
                wanted,
                supplied=self._supplied,
                report=report,
            )
        )
        self._note_unused(wanted)

    def _note_unused(self, wanted: Sequence[Wanted]) -> None:
        """A bundle of the user's that fits nothing on a device is most likely for another ABI or version."""
        remote = [one for one in wanted if not one.platform.host]
        for bundle in self._supplied:
            info = bundle.info
            meant = [one for one in remote if one.case.runtime == info.runtime]
            made = [done for one in meant if isinstance(done := self._outcomes.get(one), Ready)]
            if made and all(done.bundle.digest != bundle.digest for done in made):
                what = f"{info.runtime}@{info.version} for {info.platform}"
                self._note(
                    f"the bundle {bundle.path} ({what}) fits no case on {meant[0].platform.label}: what was "
                    "measured there ran from others"
                )

    @property
    def built(self) -> Sequence[str]:
        """What `prepare` had to build: empty when everything was in the cache."""
        return self._cache.built

    def measurement(self, target: Target, watch: Watch | None = None) -> Measurement:
        """The target's measurement, judged and stored."""
        if target not in self._measured:
            done = self._compared(self._measure(target, watch or Watch()))
            self._measured[target] = done
            self._append(done)
            self._record(done)
        return self._measured[target]

    def release(self) -> None:
        """Let go of the devices; more than once is no error."""
        self._fleet.close()

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

    def _measure(self, target: Target, watch: Watch) -> Measurement:
        facts = self._fleet.facts(target.device)
        if isinstance(facts, DeviceError):
            return msgspec.structs.replace(self._blank(target), status="failed", reason=str(facts))
        outcome = self._outcomes[Wanted(case=target.case, platform=platform_of(facts))]
        if isinstance(outcome, PocketbenchError):
            return self._impossible(target, outcome)
        opened = self._fleet.opened(target.device)
        if isinstance(opened, DeviceError):
            return msgspec.structs.replace(self._blank(target), status="failed", reason=str(opened))
        failures: list[DeviceError] = []
        on_host = facts.driver == "local"
        with self._quiet.turn() if on_host else nullcontext():
            done = measure(
                opened,
                outcome,
                self.plan.zoo[target.case.model],
                self._setting,
                self._cache,
                blank=self._blank(target),
                watch=replace(watch, trouble=failures.append),
                probes=self._probes,
                staging_turn=nullcontext if on_host else self._quiet.turn,
            )
            if done.status == "measured":
                done = self._alternated(opened, outcome, done, platform_of(facts))
        if self._fleet.count(target.device, failures[-1] if failures else None):
            resume = f"--resume {self.writer.info.run_id}"
            self._note(f"{target.device} was given up; {resume} measures what it lacks")
        if done.status == "measured":
            return done
        tail = "\n".join(launch.stderr_tail for launch in done.launches if launch.stderr_tail)
        return self._logged(done, f"{done.reason}\n\n{tail}")

    def _alternated(self, device: Device, ready: Ready, done: Measurement, platform: Platform) -> Measurement:
        """`done` with its pairs, when the session holds another version against it."""
        other = self.plan.other(ready.case)
        if other is None:
            return done
        outcome = self._outcomes[Wanted(case=other, platform=platform)]
        if isinstance(outcome, PocketbenchError):
            return msgspec.structs.replace(done, against=Against(engine=other.engine, reason=str(outcome)))
        sent_before = device.content_bytes_sent
        against = measure_against(
            device,
            ready,
            outcome,
            self.plan.effort,
            self._cache,
            launch_timeout_s=self._setting.launch_timeout_s,
            probes=self._probes,
        )
        after = felt(device)
        return msgspec.structs.replace(
            done,
            against=against,
            telemetry_after=done.telemetry_after if after is None else msgspec.to_builtins(after),
            content_bytes_sent=done.content_bytes_sent + device.content_bytes_sent - sent_before,
        )

    def _blank(self, target: Target) -> Measurement:
        return blank_measurement(
            self.plan.devices[target.device],
            self._fleet.known(target.device),
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
            return msgspec.structs.replace(measurement, verdict=judge_pairs(measurement))
        baseline, noise = None, 0.0
        fingerprint = measurement.device_fingerprint
        try:
            trend = self._history.trend(measurement.case.key, fingerprint, device=measurement.device)
            noise = noise_floor([point.latency_ms for point in trend])
            baseline = self._history.baseline(
                measurement.case.key,
                fingerprint,
                before_run=measurement.run_id,
                named=self._baseline,
                prefer=lambda earlier: not other_conditions(measurement, earlier),
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

    def _forget_if_other(self, target: Target) -> None:
        """A resumed measurement counts only when the device of that name is still the same."""
        facts, kept = self._fleet.known(target.device), self._measured.get(target)
        if facts and kept and kept.device_fingerprint != facts.fingerprint:
            del self._measured[target]
            self._note(f"{target.device} is not the device it was when the run began: measured anew")
