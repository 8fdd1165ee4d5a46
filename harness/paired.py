"""Two versions alternated in blocks: figures and verdict. Pure functions.

Alternating cancels the machine's drift; what is left is the launch effect (where code and data lie in
memory), which only more pairs of processes reduce. So the pair is the sample, and the interval is Student's
over the logarithms of the pairs' ratios.
"""

import math
import statistics
from collections.abc import Sequence

from harness.conditions import conditions
from harness.spec import Against, Measurement, Pair, Verdict, VerdictKind
from harness.stats import Ratio
from harness.verdict import unfit


def pair_ratio(pair: Pair) -> float:
    """Candidate over the other: median over neighbouring blocks of the ratio of their medians."""
    blocks = zip(pair.candidate_ns, pair.against_ns, strict=False)
    logs = [math.log(_centre_ns(one) / _centre_ns(other)) for one, other in blocks]
    return math.exp(statistics.median(logs))


def paired_ratio(against: Against, confidence: float = 0.95) -> Ratio:
    """Geometric mean of the pairs' ratios with its t interval; raises ValueError below two pairs."""
    logs = [math.log(pair_ratio(pair)) for pair in against.pairs]
    if len(logs) < 2:
        raise ValueError("an interval needs at least two pairs")
    # Half a second to load, and only a session that alternates needs it.
    from scipy.special import stdtrit  # noqa: PLC0415

    centre = statistics.fmean(logs)
    reach = (
        float(stdtrit(len(logs) - 1, 0.5 + confidence / 2)) * statistics.stdev(logs) / math.sqrt(len(logs))
    )
    return Ratio(math.exp(centre), math.exp(centre - reach), math.exp(centre + reach), confidence)


def judge_pairs(measurement: Measurement, *, threshold: float = 0.03) -> Verdict:
    """Verdict of a measurement on the other version that it was alternated with.

    What `unfit` says comes first, as without pairs. `regressed` / `improved`: the whole interval lies beyond
    the threshold; `ok`: it lies within; `inconclusive`: it holds the threshold, or there are too few pairs
    for an interval. Raises ValueError when nothing stands against it.
    """
    against = measurement.against
    if against is None:
        raise ValueError(f"{measurement.case.key} was not alternated with anything")
    verdict = unfit(measurement)
    if verdict is not None:
        return verdict
    if len(against.pairs) < 2:
        return Verdict(kind="inconclusive", reason=against.reason or f"no pairs with {against.engine}")
    ratio = paired_ratio(against)
    told = (
        f"{(ratio.centre - 1) * 100:+.1f} % against {against.engine} "
        f"({(ratio.low - 1) * 100:+.1f} to {(ratio.high - 1) * 100:+.1f} %, {len(against.pairs)} pairs)"
    )
    kind: VerdictKind
    if ratio.low > 1 + threshold:
        kind = "regressed"
    elif ratio.high < 1 - threshold:
        kind = "improved"
    elif ratio.low >= 1 - threshold and ratio.high <= 1 + threshold:
        kind = "ok"
    else:
        kind, told = "inconclusive", f"{told}: more pairs tell, --effort nightly has the most"
    ended_early = f"the pairs ended early: {against.reason}" if against.reason else ""
    return Verdict(
        kind=kind,
        reason="; ".join(filter(None, [told, ended_early, *conditions(measurement)])),
        ratio=ratio.centre,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
    )


def _centre_ns(block: Sequence[int]) -> float:
    """Median of a block; a clock cannot say less than one tick, and nothing can be divided by zero."""
    return max(float(statistics.median(block)), 1.0)
