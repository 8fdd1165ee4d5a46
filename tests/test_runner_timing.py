"""When warming up and timing end: by a clock that only inferences advance."""

import msgspec
import pytest

from harness.runner import timing
from harness.spec import WarmupPlan


class ReplayedTime:
    """A clock that only inferences advance."""

    def __init__(self, *durations_ns):
        self.now_ns = 10**12
        self.durations_ns = list(durations_ns)

    def perf_counter_ns(self):
        return self.now_ns

    def infer(self):
        self.now_ns += self.durations_ns.pop(0)


@pytest.fixture
def replayed(monkeypatch):
    def replay(*durations_ns):
        clock = ReplayedTime(*durations_ns)
        monkeypatch.setattr(timing, "time", clock)
        return clock

    return replay


def plan(**changes):
    return msgspec.to_builtins(msgspec.structs.replace(WarmupPlan(), **changes))


def test_warm_up_ends_when_two_windows_agree(replayed):
    clock = replayed(*[900] * 5, *[500] * 5, *[505] * 5, *[1] * 100)
    samples, settled = timing.warm_up(clock.infer, plan(window=5, tolerance=0.02))
    assert settled
    assert samples == [900] * 5 + [500] * 5 + [505] * 5


def test_one_slow_inference_in_a_window_does_not_unsettle_it(replayed):
    clock = replayed(*[500] * 4, 90_000, *[500] * 4, 70_000, *[1] * 100)
    samples, settled = timing.warm_up(clock.infer, plan(window=5))
    assert (len(samples), settled) == (10, True)


def test_warm_up_that_never_settles_ends_at_its_count_and_says_so(replayed):
    clock = replayed(*[1000 + 100 * n for n in range(50)])
    samples, settled = timing.warm_up(clock.infer, plan(max_iterations=23, window=5, tolerance=0.001))
    assert (len(samples), settled) == (23, False)


def test_warm_up_that_takes_too_long_ends_at_its_time_and_says_so(replayed):
    clock = replayed(*[400_000_000] * 50)
    samples, settled = timing.warm_up(clock.infer, plan(max_s=1.0, min_iterations=3))
    assert (len(samples), settled) == (3, False)


def test_warm_up_runs_its_least_count_however_slow(replayed):
    clock = replayed(*[10**9] * 50)
    samples, settled = timing.warm_up(clock.infer, plan(max_s=0.5, min_iterations=4))
    assert (len(samples), settled) == (4, False)


@pytest.mark.parametrize(
    ("at_least", "at_most", "target_s", "expected"),
    [(5, 2000, 0.0, 5), (5, 12, 60.0, 12), (1, 1, 60.0, 1), (3, 2000, 0.01, 10), (20, 2000, 0.01, 20)],
)
def test_timing_holds_its_counts_before_its_time(replayed, at_least, at_most, target_s, expected):
    clock = replayed(*[1_000_000] * 3000)
    samples, started = timing.timed(clock.infer, at_least, at_most, target_s)
    assert samples == [1_000_000] * expected
    assert started == [10**12 + n * 1_000_000 for n in range(expected)]
