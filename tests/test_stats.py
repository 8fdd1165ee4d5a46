"""Each test is named after the statistical trap it guards."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import (
    RESAMPLES,
    _bootstrap_centres,
    centre_ns,
    label_outliers,
    launches_needed,
    noise_floor,
    permutation_p,
    ratio_interval,
    smallest_reachable_p,
    summarize,
)

MS = 1_000_000
samples = st.lists(st.integers(0, 10**10), min_size=1, max_size=30)
launches = st.lists(samples, min_size=1, max_size=5)


def normal(rng, centre_ms, spread_ms, n):
    return [int(v) for v in rng.normal(centre_ms * MS, spread_ms * MS, n)]


@given(launches, st.integers(0, 2**32))
@settings(max_examples=50)
def test_interval_holds_its_centre_and_stays_within_the_samples(given_launches, seed):
    latency = summarize(given_launches, seed=seed)
    pooled = np.concatenate([np.array(launch, float) for launch in given_launches]) / MS
    interval = latency.interval
    assert interval.low_ms <= interval.centre_ms <= interval.high_ms
    assert pooled.min() <= interval.low_ms * (1 + 1e-12)
    assert interval.high_ms <= pooled.max() * (1 + 1e-12)
    assert latency.min_ms == pooled.min()
    assert latency.min_ms <= latency.p90_ms <= pooled.max()
    assert (latency.iterations, latency.launches) == (pooled.size, len(given_launches))


@given(launches)
@settings(max_examples=20)
def test_same_seed_gives_the_same_interval(given_launches):
    assert summarize(given_launches, seed=3) == summarize(given_launches, seed=3)


def test_a_launch_with_many_iterations_does_not_outvote_the_others():
    assert centre_ns([[10] * 1000, [20], [21]]) == 20


def test_one_slow_launch_does_not_move_the_centre():
    assert centre_ns([[10, 11, 12], [10, 11, 12], [500, 500, 500]]) == 11


def test_iterations_are_not_independent_launches():
    """Three launches that differ by 10 % have a wide interval, however many iterations each has."""
    rng = np.random.default_rng(1)
    arm = [normal(rng, centre, 0.01, 2000) for centre in (10.0, 11.0, 12.0)]
    interval = summarize(arm, seed=1).interval
    assert interval.high_ms - interval.low_ms > 1.5
    pooled = summarize([list(itertools.chain(*arm))], seed=1).interval
    assert pooled.high_ms - pooled.low_ms < 0.2


def test_one_launch_resamples_its_iterations_only():
    rng = np.random.default_rng(2)
    interval = summarize([normal(rng, 10.0, 1.0, 400)], seed=1).interval
    # Standard error of a median: 1.2533 sigma / sqrt(n).
    assert interval.high_ms - interval.low_ms == pytest.approx(2 * 1.96 * 1.2533 / 20, rel=0.3)


def test_interval_of_many_launches_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(150):
        arm = [normal(rng, centre, 0.1, 20) for centre in rng.normal(10.0, 0.5, 15)]
        interval = summarize(arm, seed=trial).interval
        hits += interval.low_ms <= 10.0 <= interval.high_ms
    assert 0.88 <= hits / 150 <= 1.0


@pytest.mark.parametrize("sizes", [[7], [8], [1], [2], [9, 9, 9], [10, 4], [5, 6, 7, 8]])
def test_the_short_bootstrap_has_the_distribution_of_the_long_one(sizes):
    rng = np.random.default_rng(4)
    ordered = [np.sort(rng.normal(size=size)) for size in sizes]
    short = np.concatenate([_bootstrap_centres(ordered, rng) for _ in range(5)])

    def resampled_centre():
        chosen = rng.integers(len(ordered), size=len(ordered))
        return np.median([np.median(rng.choice(ordered[i], size=ordered[i].size)) for i in chosen])

    long = np.array([resampled_centre() for _ in range(RESAMPLES)])
    points = np.linspace(-2, 2, 81)
    distance = np.abs((short[:, None] <= points).mean(axis=0) - (long[:, None] <= points).mean(axis=0))
    # Kolmogorov and Smirnov: 1.95 sqrt(1/n + 1/m) is passed once in a thousand times.
    assert distance.max() < 1.95 * np.sqrt(1 / short.size + 1 / long.size)


def test_the_bootstrap_costs_less_than_what_it_measures():
    rng = np.random.default_rng(5)
    arm = [normal(rng, 10.0, 1.0, 2000) for _ in range(3)]
    summarize(arm, seed=0)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        summarize(arm, seed=0)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02


def test_p99_of_few_iterations_is_a_maximum_in_disguise():
    assert summarize([[1, 2, 3] * 333], seed=0).p99_ms is None
    assert summarize([[1, 2] * 250, [1, 2] * 250], seed=0).p99_ms == pytest.approx(2 / MS)


def test_nothing_measured_has_no_summary():
    for empty in ([], [[]], [[], []]):
        with pytest.raises(ValueError, match="no launch has a sample"):
            summarize(empty, seed=0)


def test_a_launch_without_samples_counts_for_nothing():
    assert summarize([[5, 5], []], seed=0).launches == 1


def test_a_clock_that_went_backwards_is_an_error():
    with pytest.raises(ValueError, match="negative"):
        summarize([[5, -5]], seed=0)


@given(st.lists(st.integers(0, 10**9), max_size=60))
def test_outliers_are_labelled_and_never_dropped(values):
    labels = label_outliers(values)
    assert len(labels) == len(values)
    # Never more than a quarter lies beyond a fence on one side.
    assert sum(label.endswith("low") for label in labels) <= len(values) / 4
    assert sum(label.endswith("high") for label in labels) <= len(values) / 4


def test_outliers_near_and_far_are_told_apart():
    values = [*range(100, 121), 140, 200, 75, 10]
    labels = dict(zip(values, label_outliers(values), strict=True))
    assert labels[110] == "inside"
    assert (labels[140], labels[200], labels[75], labels[10]) == ("high", "far_high", "low", "far_low")


def test_equal_samples_have_no_outliers():
    assert set(label_outliers([7] * 50)) == {"inside"}


@given(launches, launches, st.integers(0, 100))
@settings(max_examples=40)
def test_ratio_interval_holds_its_centre_and_is_finite(above, below, seed):
    ratio = ratio_interval(above, below, seed=seed)
    assert 0 < ratio.low <= ratio.centre <= ratio.high < np.inf


def test_the_ratio_counts_the_noise_of_both_arms():
    rng = np.random.default_rng(6)
    quiet = [normal(rng, 10, 0.01, 50) for _ in range(7)]
    noisy = [normal(rng, centre, 0.01, 50) for centre in np.linspace(9, 11, 7)]
    for pair in ((quiet, noisy), (noisy, quiet)):
        ratio = ratio_interval(*pair, seed=0)
        assert ratio.high - ratio.low > 0.05


def test_the_ratio_finds_a_known_change():
    rng = np.random.default_rng(7)
    below = [normal(rng, 10, 0.05, 50) for _ in range(7)]
    above = [normal(rng, 11, 0.05, 50) for _ in range(7)]
    ratio = ratio_interval(above, below, seed=0)
    assert ratio.centre == pytest.approx(1.1, abs=0.01)
    assert 1.08 < ratio.low <= ratio.high < 1.12


medians = st.lists(st.integers(1, 12), min_size=1, max_size=5)


@given(medians, medians)
@settings(max_examples=60)
def test_permutation_p_is_that_of_dealing_every_hand(a, b):
    pooled = np.array(a + b, float)
    ranks = np.array([((pooled < v).sum() + (pooled <= v).sum() + 1) / 2 for v in pooled])
    sums = np.array([ranks[list(c)].sum() for c in itertools.combinations(range(pooled.size), len(a))])
    observed = ranks[: len(a)].sum()
    expected = min(1.0, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))
    assert permutation_p(a, b) == pytest.approx(expected)


@given(medians, medians)
@settings(max_examples=60)
def test_p_is_the_same_from_both_sides_and_never_below_what_is_reachable(a, b):
    p = permutation_p(a, b)
    assert p == pytest.approx(permutation_p(b, a))
    assert smallest_reachable_p(len(a), len(b)) <= p * (1 + 1e-12)
    assert p <= 1


def test_p_agrees_with_the_exact_mann_whitney_of_scipy():
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(8)
    for _ in range(20):
        a, b = rng.normal(size=7), rng.normal(0.5, size=6)
        assert permutation_p(a, b) == pytest.approx(mannwhitneyu(a, b, method="exact").pvalue)


def test_p_stays_exact_and_fast_where_hands_cannot_be_dealt_out():
    start = time.perf_counter()
    assert permutation_p(range(30), range(30, 60)) == pytest.approx(smallest_reachable_p(30, 30))
    assert time.perf_counter() - start < 1


def test_three_against_three_launches_can_never_be_significant():
    assert smallest_reachable_p(3, 3) == pytest.approx(0.1)
    assert permutation_p([1, 2, 3], [100, 200, 300]) == pytest.approx(0.1)


def test_launches_needed_is_the_first_number_that_can_be_significant():
    assert launches_needed(0.05) == 4
    assert launches_needed(0.05, 3) == 5
    assert launches_needed(0.05, 1) == 39
    with pytest.raises(ValueError, match="no number of launches"):
        launches_needed(0.0)


def test_same_code_twice_is_rarely_called_different():
    rng = np.random.default_rng(9)
    alarms = sum(permutation_p(rng.normal(size=7), rng.normal(size=7)) <= 0.05 for _ in range(400))
    assert alarms / 400 < 0.08


def test_empty_arms_prove_nothing():
    assert permutation_p([], [1.0]) == 1.0
    assert smallest_reachable_p(0, 5) == 1.0


def test_the_noise_floor_is_learned_from_neighbours_and_not_from_one_real_change():
    rng = np.random.default_rng(10)
    quiet = list(10 * np.exp(rng.normal(0, 0.01, 40)))
    stepped = quiet[:20] + [1.5 * v for v in quiet[20:]]
    assert noise_floor(quiet) == pytest.approx(1.96 * 2**0.5 * 0.01, rel=0.4)
    assert noise_floor(stepped) == pytest.approx(noise_floor(quiet), rel=0.1)


def test_a_noise_floor_is_not_learned_from_few_runs():
    assert noise_floor([10, 20, 30, 40, 50]) == 0.0
