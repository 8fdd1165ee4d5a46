"""Figures from raw samples. Pure functions; the launch is the sample, its iterations are not independent.

`launches` is everywhere one sequence of nanoseconds per launch; empty ones are left out.
"""

from collections.abc import Sequence
from math import comb
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.spec import Interval, Latency

Launches = Sequence[Sequence[int]]
Floats = npt.NDArray[np.float64]
OutlierLabel = Literal["far_low", "low", "inside", "high", "far_high"]

RESAMPLES = 4000
P99_MIN_ITERATIONS = 1000
_NS_PER_MS = 1e6


class Ratio(NamedTuple):
    """Candidate over baseline: above 1 is slower."""

    centre: float
    low: float
    high: float
    confidence: float


def launch_medians_ns(launches: Launches) -> Floats:
    """Median of every launch that has samples."""
    return np.array([np.median(samples) for samples in launches if len(samples)], dtype=np.float64)


def centre_ns(launches: Launches) -> float:
    """Median of launch medians, which no single slow launch and no single slow iteration can move far."""
    return float(np.median([np.median(samples) for samples in _sorted_launches(launches)]))


def summarize(launches: Launches, *, seed: int, confidence: float = 0.95) -> Latency:
    """Centre with its bootstrap interval, and minimum, p90 and p99 over all iterations.

    With one launch only its iterations are resampled: the interval then says nothing of the spread
    between launches. With three it is close to the range of the launch medians, which covers the true
    median three times out of four, not nineteen out of twenty: more launches, not more iterations, help.
    Raises ValueError when no launch has a sample.
    """
    ordered = _sorted_launches(launches)
    pooled = np.concatenate(ordered)
    centre = centre_ns(launches)
    draws = _bootstrap_centres(ordered, np.random.default_rng(seed))
    low, high = _percentile_interval(draws, centre, confidence)
    return Latency(
        interval=Interval(
            centre_ms=centre / _NS_PER_MS,
            low_ms=low / _NS_PER_MS,
            high_ms=high / _NS_PER_MS,
            confidence=confidence,
        ),
        min_ms=float(pooled.min()) / _NS_PER_MS,
        p90_ms=float(np.quantile(pooled, 0.9)) / _NS_PER_MS,
        p99_ms=float(np.quantile(pooled, 0.99)) / _NS_PER_MS if pooled.size >= P99_MIN_ITERATIONS else None,
        iterations=int(pooled.size),
        launches=len(ordered),
    )


def ratio_interval(candidate: Launches, baseline: Launches, *, seed: int, confidence: float = 0.95) -> Ratio:
    """Candidate centre over baseline centre, with the interval from bootstrapping both arms.

    Raises ValueError when an arm has no sample.
    """
    rng = np.random.default_rng(seed)
    # A clock cannot say less than one tick, and nothing can be divided by zero.
    centre = max(centre_ns(candidate), 1.0) / max(centre_ns(baseline), 1.0)
    above = np.maximum(_bootstrap_centres(_sorted_launches(candidate), rng), 1.0)
    below = np.maximum(_bootstrap_centres(_sorted_launches(baseline), rng), 1.0)
    low, high = _percentile_interval(above / below, centre, confidence)
    return Ratio(centre=centre, low=low, high=high, confidence=confidence)


def label_outliers(samples_ns: Sequence[int]) -> tuple[OutlierLabel, ...]:
    """Label each sample by Tukey's fences; labelled, never dropped.

    `low` and `high` lie beyond 1.5 interquartile ranges from the quartiles, `far_` beyond 3 (Tukey,
    Exploratory Data Analysis, 1977; the same two classes as criterion.rs).
    """
    if not len(samples_ns):
        return ()
    samples = np.asarray(samples_ns, dtype=np.float64)
    first, third = np.quantile(samples, [0.25, 0.75])
    reach = third - first
    fences = np.array([first - 3 * reach, first - 1.5 * reach, third + 1.5 * reach, third + 3 * reach])
    labels: tuple[OutlierLabel, ...] = ("far_low", "low", "inside", "high", "far_high")
    below = (samples[:, None] >= fences[:2]).sum(axis=1)
    above = (samples[:, None] > fences[2:]).sum(axis=1)
    return tuple(labels[place] for place in below + above)


def permutation_p(candidate_medians: Sequence[float], baseline_medians: Sequence[float]) -> float:
    """Two-sided p of "both arms are the same", from every way to deal the launch medians to the arms.

    Rank sum with midranks for ties, so one wild launch counts as one launch (Mann and Whitney, 1947);
    exact, because the subsets of each rank sum are counted, not sampled; two-sided by doubling the
    smaller tail. 1.0 when an arm is empty.
    """
    n, m = len(candidate_medians), len(baseline_medians)
    if n == 0 or m == 0:
        return 1.0
    ranks = _doubled_midranks(np.array([*candidate_medians, *baseline_medians], dtype=np.float64))
    observed = int(ranks[:n].sum())
    # ways[k, s]: how many k of the ranks seen so far sum to s.
    ways = np.zeros((n + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1.0
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank]
    sums = ways[n]
    tail = min(sums[: observed + 1].sum(), sums[observed:].sum())
    return float(min(1.0, 2.0 * tail / sums.sum()))


def smallest_reachable_p(n: int, m: int) -> float:
    """The p of complete separation of n from m launches: no result whatever can give a smaller one."""
    return min(1.0, 2.0 / comb(n + m, n)) if n > 0 and m > 0 else 1.0


def launches_needed(alpha: float, baseline_launches: int | None = None) -> int:
    """Fewest launches whose `smallest_reachable_p` is at most `alpha`.

    Against `baseline_launches`, or in each arm when that is None. Raises ValueError for an alpha that
    no number of launches reaches.
    """
    if alpha <= 0 or baseline_launches == 0:
        raise ValueError(f"no number of launches reaches p <= {alpha} against {baseline_launches}")
    n = 1
    while smallest_reachable_p(n, baseline_launches or n) > alpha:
        n += 1
    return n


def noise_floor(centres_ms: Sequence[float]) -> float:
    """How far apart, as a share, two runs of the same case lie by chance: 0.0 with fewer than 6 runs.

    95th percentile of |log ratio| of neighbours in time, from their median absolute value times
    1.96 / 0.6745 (normal noise); neighbours and the median keep single real changes out of it.
    """
    if len(centres_ms) < 6:
        return 0.0
    steps = np.abs(np.diff(np.log(np.maximum(np.asarray(centres_ms, dtype=np.float64), 1e-6))))
    return float(np.expm1(np.median(steps) * 1.96 / 0.6745))


def _sorted_launches(launches: Launches) -> list[Floats]:
    ordered = [np.sort(np.asarray(samples, dtype=np.float64)) for samples in launches if len(samples)]
    if not ordered:
        raise ValueError("no launch has a sample")
    if any(samples[0] < 0 for samples in ordered):
        raise ValueError("a sample is negative: durations are expected")
    return ordered


def _bootstrap_centres(ordered: list[Floats], rng: np.random.Generator) -> Floats:
    """Medians of launch medians, resampling launches, then iterations within each chosen launch.

    The median of a resample needs no resample: drawing n of n values is drawing n uniforms u and taking
    value floor(n u), so its r-th smallest is value floor(n U(r)) with U(r) ~ Beta(r, n - r + 1), and
    the next one lies at U(r) plus the smallest of the n - r uniforms left above it (David and Nagaraja,
    Order Statistics, 3rd ed., 2.1 and 2.5). Two draws for each launch instead of n.
    """
    sizes = np.array([samples.size for samples in ordered])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    chosen = rng.integers(len(ordered), size=(RESAMPLES, len(ordered)))
    n = sizes[chosen]
    rank = (n + 1) // 2
    lower = rng.beta(rank, n - rank + 1)
    left = np.maximum(n - rank, 1)
    upper = lower + (1 - lower) * (1 - rng.random(lower.shape) ** (1 / left))
    upper = np.where(n % 2 == 0, upper, lower)
    flat = np.concatenate(ordered)
    medians = (
        flat[starts[chosen] + np.minimum((n * lower).astype(np.intp), n - 1)]
        + flat[starts[chosen] + np.minimum((n * upper).astype(np.intp), n - 1)]
    ) / 2
    centres: Floats = np.median(medians, axis=1)
    return centres


def _percentile_interval(draws: Floats, centre: float, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return min(float(low), centre), max(float(high), centre)


def _doubled_midranks(values: Floats) -> npt.NDArray[np.intp]:
    """Twice the rank of each value, ties sharing their mean rank; doubled so that all are whole."""
    ordered = np.sort(values)
    return np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1
