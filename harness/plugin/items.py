"""What a test gets: its target's measurement, and the device's samples for pytest-benchmark."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from harness.errors import PocketbenchError
from harness.plan import Target
from harness.plugin.progress import Progress
from harness.plugin.state import RUN
from harness.spec import Expectation, Measurement

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

OUTCOME = "pocketbench"
"""Name of the user property that carries a test's figure to the terminal."""

UNMEASURED = ("unsupported", "crashed", "timeout", "failed")


class ReplayClock:
    """A timer that stands still but for `advance`: it replays times that were measured elsewhere."""

    def __init__(self) -> None:
        self._now = 0.0
        self._samples_s: list[float] = []

    def __call__(self) -> float:
        """Seconds on the clock."""
        return self._now

    def load(self, samples_s: list[float]) -> None:
        """Set what the next calls of `advance` take, in order."""
        self._samples_s = samples_s[::-1]

    def advance(self) -> None:
        """Let the next sample's time pass."""
        self._now += self._samples_s.pop()


@pytest.fixture
def measurement(request: pytest.FixtureRequest, target: Target) -> Measurement:
    """The target's measurement; measured by the first test that asks, shared with the others.

    A case that this machine or runtime cannot hold at all is skipped, and so is a test of outputs that there
    is no reference for; any other way of not being measured fails, with the reason and where its log lies.
    """
    from harness.measure import Watch

    run = request.config.stash[RUN]
    label = target.case.key
    with Progress(request.config, f"measuring {label}") as progress:
        try:
            watch = Watch(
                launched=lambda n, total: progress.update(n, total, "launches"), sending=progress.sending
            )
            done = run.measurement(target, watch)
        except PocketbenchError as error:
            # The results cannot be written: measuring on would be in vain.
            pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)
    if done.not_applicable:
        pytest.skip(done.reason)
    if done.status in UNMEASURED:
        pytest.fail(_failure(done, run.writer.directory.as_posix()), pytrace=False)
    if done.parity is None and request.node.get_closest_marker("parity"):
        pytest.skip(done.reason)
    return done


@pytest.fixture
def device_samples(
    request: pytest.FixtureRequest, measurement: Measurement, benchmark: "BenchmarkFixture"
) -> Callable[[], None]:
    """Call it to hand the samples measured on the device to pytest-benchmark."""
    samples = [ns / 1e9 for result in measurement.results for ns in result.samples_ns]
    clock = request.node.get_closest_marker("benchmark").kwargs["timer"]

    def replay() -> None:
        clock.load(samples)
        benchmark.extra_info.update(_extra(measurement))
        benchmark.pedantic(clock.advance, rounds=len(samples), iterations=1)

    return replay


@pytest.fixture
def record_outcome(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Call it with the figure that shall stand beside PASSED."""
    return lambda told: request.node.user_properties.append((OUTCOME, told))


def expect(item: pytest.Item, expectation: Expectation | None) -> None:
    """Mark `item` as a strict expected failure when its case is known to deviate.

    Wrong outputs concern tests marked `parity` alone; a case that cannot be measured, all of them.
    """
    if expectation is None:
        return
    if expectation.expect != "parity" or item.get_closest_marker("parity"):
        item.add_marker(pytest.mark.xfail(reason=expectation.reason, strict=True))


def target_of(item: pytest.Item) -> Target | None:
    """The target a test is about, if it is about one."""
    callspec = getattr(item, "callspec", None)
    target: Target | None = callspec.params.get("target") if callspec else None
    return target


def _failure(done: Measurement, directory: str) -> str:
    where = f"\nits log: {directory}/{done.log}" if done.log else ""
    listed = (
        "\nif this is known and accepted, list it in suites/expectations.toml"
        if done.expectation is None
        else ""
    )
    return f"{done.device}: {done.case.key} {done.status}: {done.reason}{where}{listed}"


def _extra(done: Measurement) -> dict[str, object]:
    return {
        "device": done.device,
        "model": done.case.model,
        "runtime": done.case.engine,
        "precision": done.case.precision,
        "threads": done.case.threads,
        "backend": done.case.backend,
        "run_id": done.run_id,
        "launches": len(done.results),
        "peak_rss_mib": done.peak_rss_mib,
        "parity_ok": None if done.parity is None else done.parity.ok,
    }
