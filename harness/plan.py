"""What a session is going to measure: targets in a seeded order, and what is known about them.

Light on purpose: this is all that collecting the tests needs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from devices import Device, find_device
from harness.errors import PocketbenchError
from harness.matrix import Filters, build_cases
from harness.models.zoo import load_expectations, load_zoo
from harness.runtimes import RUNTIMES, parse_runtime
from harness.schedule import Effort, find_effort, shuffled
from harness.spec import Case, Expectation, Frozen, Model


class Target(Frozen, frozen=True, kw_only=True, order=True):
    """A case on a device: one measurement."""

    device: str
    case: Case


class Ask(Frozen, frozen=True, kw_only=True):
    """A session's request, as the faces read it from their options."""

    zoo: Path
    devices: tuple[str, ...] = ("local",)
    device_dirs: tuple[Path, ...] = ()
    filters: Filters = Filters()
    effort: str = "standard"
    seed: int = 0
    against: str | None = None


class Plan:
    """The targets and everything that is known before anything is measured."""

    def __init__(
        self,
        *,
        zoo: Mapping[str, Model],
        base: Path,
        expectations: Sequence[Expectation],
        devices: Mapping[str, Device],
        cases: Sequence[Case],
        effort: Effort,
        seed: int,
        against: tuple[str, str] | None = None,
    ) -> None:
        self.zoo = zoo
        self.base = base
        self.devices = devices
        self.effort = effort
        self.seed = seed
        self._against = against
        self.targets = [Target(device=name, case=case) for name in devices for case in shuffled(cases, seed)]
        self._expectations = tuple(expectations)
        self._versions: dict[str, set[str]] = {}
        for case in cases:
            self._versions.setdefault(case.runtime, set()).add(case.runtime_version)

    def expectation(self, case: Case) -> Expectation | None:
        """The known deviation of a case; it is about the default version of the runtime."""
        if case.runtime_version != RUNTIMES[case.runtime].default_version:
            return None
        return next((known for known in self._expectations if known.is_about(case)), None)

    def other(self, case: Case) -> Case | None:
        """The case that `case` is alternated with: the same in the version given with --against."""
        if self._against is None or (case.runtime, case.runtime_version) == self._against:
            return None
        runtime, version = self._against
        return msgspec.structs.replace(case, runtime_version=version) if case.runtime == runtime else None

    def target_id(self, target: Target) -> str:
        """How a target is called in test names: `local-ppocr_det-ncnn-fp16-t4`.

        The version is there when the session has several of the runtime or not its default one, the
        backend when it is not the runtime's first.
        """
        case, runtime = target.case, RUNTIMES[target.case.runtime]
        plain = self._versions[case.runtime] == {runtime.default_version}
        parts = [target.device, case.model, case.runtime if plain else case.engine]
        parts += [case.precision, f"t{case.threads}"]
        if case.backend != runtime.backends[0]:
            parts.append(case.backend)
        return "-".join(parts)


def make_plan(ask: Ask) -> Plan:
    """Check everything that was asked for; raises PocketbenchError or DeviceError for what is unknown."""
    if not ask.zoo.is_file():
        raise PocketbenchError(f"no zoo at {ask.zoo}: name one with --zoo, or copy suites/zoo.toml there")
    if not ask.devices:
        raise PocketbenchError("no device to measure on: name one with --device, `local` is this machine")
    zoo = load_zoo(ask.zoo)
    cases = build_cases(zoo, ask.filters)
    listed = ask.zoo.with_name("expectations.toml")
    backends = {name: runtime.backends for name, runtime in RUNTIMES.items()}
    return Plan(
        zoo=zoo,
        base=ask.zoo.parent,
        expectations=load_expectations(listed, models=zoo, runtimes=backends) if listed.is_file() else (),
        devices={name: find_device(name, ask.device_dirs) for name in ask.devices},
        cases=cases,
        effort=find_effort(ask.effort),
        seed=ask.seed,
        against=_against(ask.against, cases),
    )


def _against(text: str | None, cases: Sequence[Case]) -> tuple[str, str] | None:
    """Runtime and version of --against; the session must have something to hold against it."""
    if text is None:
        return None
    runtime, version = parse_runtime(text)
    if "@" not in text:
        raise PocketbenchError(f"--against {text} lacks a version: write {text}@VERSION")
    if not any(case.runtime == runtime.name and case.runtime_version != version for case in cases):
        raise PocketbenchError(f"--against {text} meets no case of another version of {runtime.name}")
    return runtime.name, version
