"""What became of a case against its baseline. Pure functions over two measurements."""

from harness.conditions import conditions
from harness.spec import Measurement, Verdict, VerdictKind
from harness.stats import (
    Launches,
    Ratio,
    centre_ns,
    launch_medians_ns,
    launches_needed,
    permutation_p,
    ratio_interval,
    smallest_reachable_p,
)

NIGHTLY_LAUNCHES = 7


def judge(
    candidate: Measurement,
    baseline: Measurement | None,
    *,
    threshold: float = 0.03,
    noise_floor: float = 0.0,
    absolute_floor_ms: float = 0.005,
    alpha: float = 0.05,
) -> Verdict:
    """Verdict of `candidate` on the baseline of the same case and device, or on none.

    What `unfit` says stands before any comparison; without a baseline that may be compared it is `new`.
    Otherwise see `compare`. This is one round: that a regression is confirmed by a second one is the
    caller's to see to.
    """
    verdict = unfit(candidate)
    if verdict is not None:
        return verdict
    refusal = (
        _refusal(candidate, baseline) if baseline else "no earlier measurement of this case on this device"
    )
    if baseline is None or refusal:
        return Verdict(kind="new", reason="; ".join([refusal, *conditions(candidate)]))
    return compare(
        candidate,
        baseline,
        threshold=threshold,
        noise_floor=noise_floor,
        absolute_floor_ms=absolute_floor_ms,
        alpha=alpha,
    )


def unfit(measurement: Measurement) -> Verdict | None:
    """The verdict of a measurement whose latency cannot be compared with anything, or None when it can.

    A case that was not measured is named after how it ended; a device that says it throttled before,
    after or between makes the figures `invalid`; an emulator's are `inconclusive`, whatever they are.
    """
    if measurement.status != "measured":
        return Verdict(kind=measurement.status, reason=measurement.reason)
    if not _samples(measurement):
        return Verdict(kind="failed", reason=measurement.reason or "no launch gave a timed iteration")
    if _throttled(measurement):
        return Verdict(kind="invalid", reason=_told_to_rest(measurement))
    if measurement.emulated:
        return Verdict(
            kind="inconclusive",
            reason=f"{measurement.device} is emulated: its timings are no device's and are not judged",
        )
    return None


def compare(
    candidate: Measurement,
    baseline: Measurement,
    *,
    threshold: float = 0.03,
    noise_floor: float = 0.0,
    absolute_floor_ms: float = 0.005,
    alpha: float = 0.05,
) -> Verdict:
    """Latency of two measurements that have samples, whatever their cases (two versions, two precisions).

    The margin is the largest of `threshold`, `noise_floor` (both shares) and `absolute_floor_ms`.
    `regressed` / `improved`: the whole interval of the ratio lies beyond the margin and a test over
    launches that is able to reach `alpha` does reach it. `inconclusive`: a change that looks larger than
    the margin and is not shown, or an interval so wide that it holds a regression and an improvement.
    `ok`: no change beyond the margin was seen.
    """
    above, below = _samples(candidate), _samples(baseline)
    ratio = ratio_interval(above, below, seed=candidate.seed)
    margin = max(threshold, noise_floor, absolute_floor_ms * 1e6 / max(centre_ns(below), 1.0))
    measured = f"{_change(ratio)}, margin {100 * margin:.1f} %"
    notes = _notes(candidate, baseline)

    def verdict(kind: VerdictKind, reason: str) -> Verdict:
        return Verdict(
            kind=kind,
            reason="; ".join([reason, *notes]),
            ratio=ratio.centre,
            ratio_low=ratio.low,
            ratio_high=ratio.high,
            baseline_run=baseline.run_id,
        )

    slower, faster = ratio.low > 1 + margin, ratio.high < 1 - margin
    if slower or faster:
        doubt = _doubt(above, below, alpha)
        if doubt:
            return verdict("inconclusive", f"{measured}: {doubt}")
        p = permutation_p(list(launch_medians_ns(above)), list(launch_medians_ns(below)))
        return verdict("regressed" if slower else "improved", f"{measured}, p = {p:.2g}")
    if abs(ratio.centre - 1) > margin:
        return verdict("inconclusive", f"{measured}: the interval reaches into the margin")
    if ratio.low < 1 - margin and ratio.high > 1 + margin:
        return verdict("inconclusive", f"{measured}: too noisy to tell slower from faster")
    return verdict("ok", measured)


def _doubt(above: Launches, below: Launches, alpha: float) -> str:
    """Why the launches do not show a difference at `alpha`; empty when they do."""
    n, m = len(above), len(below)
    reachable = smallest_reachable_p(n, m)
    if reachable > alpha:
        return (
            f"{n} against {m} launches cannot show a change (p is never below {reachable:.2g}, "
            f"{alpha:g} is asked): {_advice(alpha, m)}"
        )
    p = permutation_p(list(launch_medians_ns(above)), list(launch_medians_ns(below)))
    return f"launches of both overlap, p = {p:.2g} where {alpha:g} is asked" if p > alpha else ""


def _advice(alpha: float, baseline_launches: int) -> str:
    against = launches_needed(alpha, baseline_launches)
    each = launches_needed(alpha)
    if against <= NIGHTLY_LAUNCHES:
        return f"it takes {against} against {baseline_launches}; confirm with --effort nightly"
    return f"it takes {each} in each; measure the baseline too, and confirm, with --effort nightly"


def _refusal(candidate: Measurement, baseline: Measurement) -> str:
    """Why the two may not be compared; empty when they may."""
    if candidate.case.key != baseline.case.key:
        return f"the baseline is another case: {baseline.case.key}"
    if candidate.device_fingerprint != baseline.device_fingerprint:
        return (
            f"the baseline in {baseline.run_id} comes from another device or system "
            f"({baseline.device_fingerprint}, now {candidate.device_fingerprint})"
        )
    if baseline.status != "measured" or not _samples(baseline):
        return f"the baseline in {baseline.run_id} was not measured ({baseline.status})"
    if _throttled(baseline):
        return f"the device was throttling in the baseline {baseline.run_id}"
    different = other_conditions(candidate, baseline)
    if different:
        return f"measured otherwise than the baseline in {baseline.run_id}: {different}"
    return ""


def other_conditions(candidate: Measurement, baseline: Measurement) -> str:
    """What of the obtained CPUs and the governor differs; empty when nothing does that both of them tell."""
    cpus, their_cpus = _affinities(candidate), _affinities(baseline)
    governor, their_governor = _governor(candidate), _governor(baseline)
    told = []
    if cpus and their_cpus and cpus != their_cpus:
        told.append(f"on CPUs {_listed(cpus)}, the baseline on {_listed(their_cpus)}")
    if governor and their_governor and governor != their_governor:
        told.append(f"with the governor {governor}, the baseline with {their_governor}")
    return "; ".join(told)


def _affinities(measurement: Measurement) -> set[tuple[int, ...]]:
    """CPUs its launches were allowed, each combination once."""
    return {result.affinity for result in measurement.results if result.affinity}


def _governor(measurement: Measurement) -> str | None:
    """The governor it was measured under, as far as telemetry tells."""
    states = (measurement.telemetry_before, measurement.telemetry_after)
    return next((state["governor"] for state in states if state.get("governor")), None)


def _listed(affinities: set[tuple[int, ...]]) -> str:
    return " and ".join(_ranges(cpus) for cpus in sorted(affinities))


def _ranges(cpus: tuple[int, ...]) -> str:
    """A CPU list as the kernel and device files write it: `0-3,6`."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _notes(candidate: Measurement, baseline: Measurement) -> list[str]:
    """What the reader should know beside the figures: it explains a change and does not decide it."""
    notes = []
    if candidate.artifact and baseline.artifact and candidate.artifact.key != baseline.artifact.key:
        notes.append("the artifact differs from the baseline's")
    if candidate.bundle and baseline.bundle and candidate.bundle.key != baseline.bundle.key:
        notes.append("the bundle differs from the baseline's")
    return [*notes, *conditions(candidate, baseline)]


def _throttled(measurement: Measurement) -> bool:
    states = (measurement.telemetry_before, measurement.telemetry_after)
    return any(state.get("throttled") is True for state in states) or bool(_occurred(measurement))


def _occurred(measurement: Measurement) -> list[str]:
    """Flags that came up between both readings: firmware keeps an `_occurred` until the next boot.

    Where the first reading is unknown, so is when it came up.
    """
    before, after = measurement.telemetry_before, measurement.telemetry_after
    if before.get("throttled") is None:
        return []
    known = before.get("throttle_flags", ())
    return [
        flag for flag in after.get("throttle_flags", ()) if flag.endswith("_occurred") and flag not in known
    ]


def _told_to_rest(measurement: Measurement) -> str:
    """Why the figures of a device that throttled do not count, and what to do."""
    states = (measurement.telemetry_before, measurement.telemetry_after)
    told = [flag for state in states for flag in state.get("throttle_flags", ())]
    now = [flag for flag in told if not flag.endswith("_occurred")]
    between = [flag.removesuffix("_occurred") for flag in _occurred(measurement)]
    flags = list(dict.fromkeys([*now, *between]))
    named = f" ({', '.join(flag.replace('_', ' ') for flag in flags)})" if flags else ""
    cure = "give it a stronger power supply" if "under_voltage" in flags else "cool it"
    return f"{measurement.device} was throttling{named}: {cure} and run again"


def _samples(measurement: Measurement) -> list[tuple[int, ...]]:
    return [result.samples_ns for result in measurement.results if result.samples_ns]


def _change(ratio: Ratio) -> str:
    low, high = (100 * (bound - 1) for bound in (ratio.low, ratio.high))
    return f"{100 * (ratio.centre - 1):+.1f} % [{low:+.1f}, {high:+.1f}]"
