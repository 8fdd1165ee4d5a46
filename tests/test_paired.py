import numpy as np
import pytest
from samples import measurement

from harness.paired import judge_pairs, pair_ratio, paired_ratio
from harness.spec import Against, Pair
from harness.verdict import judge


def pair(ratio, *, drift=0.0, blocks=20, seed=0):
    """Blocks of both arms on a machine that gets slower by `drift` per block."""
    rng = np.random.default_rng(seed)
    speed = 1e6 * (1 + drift * np.arange(blocks))
    candidate = [tuple(int(v) for v in rng.normal(speed[i] * ratio, 5e3, 9)) for i in range(blocks)]
    against = [tuple(int(v) for v in rng.normal(speed[i], 5e3, 9)) for i in range(blocks)]
    return Pair(candidate_ns=tuple(candidate), against_ns=tuple(against))


def against(*ratios, **changes):
    pairs = tuple(pair(ratio, seed=number, **changes) for number, ratio in enumerate(ratios))
    return Against(engine="ncnn@1.0.20260526", pairs=pairs)


def test_the_drift_of_the_machine_cancels_in_a_pair():
    assert pair_ratio(pair(1.05, drift=0.2)) == pytest.approx(1.05, abs=0.005)


def test_one_slow_block_does_not_move_the_ratio():
    calm = pair(1.0)
    disturbed = Pair(
        candidate_ns=(tuple(v * 30 for v in calm.candidate_ns[0]), *calm.candidate_ns[1:]),
        against_ns=calm.against_ns,
    )
    assert pair_ratio(disturbed) == pytest.approx(1.0, abs=0.01)


def test_the_interval_comes_from_the_spread_between_pairs_not_within_them():
    close, wide = against(1.02, 1.021, 1.019, 1.02), against(0.95, 1.09, 1.0, 1.04)
    assert paired_ratio(close).high - paired_ratio(close).low < 0.01
    assert paired_ratio(wide).high - paired_ratio(wide).low > 0.1


def test_one_pair_has_no_interval_and_so_no_verdict():
    with pytest.raises(ValueError, match="two pairs"):
        paired_ratio(against(1.5))
    assert judge_pairs(measurement(against=against(1.5))).kind == "inconclusive"


@pytest.mark.parametrize(
    ("ratios", "kind"),
    [
        ((1.08, 1.081, 1.079), "regressed"),
        ((0.9, 0.901, 0.899), "improved"),
        ((1.0, 1.004, 0.997), "ok"),
        ((1.0, 1.09, 0.95), "inconclusive"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side_of_the_threshold(ratios, kind):
    verdict = judge_pairs(measurement(against=against(*ratios)))
    assert verdict.kind == kind
    assert "against ncnn@1.0.20260526" in verdict.reason


def test_a_pair_that_could_not_be_run_says_why():
    missing = Against(engine="ncnn@0.1", reason="ncnn@0.1 cannot be installed")
    verdict = judge_pairs(measurement(against=missing))
    assert (verdict.kind, verdict.reason) == ("inconclusive", "ncnn@0.1 cannot be installed")


def test_pairs_that_ended_early_give_their_verdict_and_say_why_they_ended():
    cut = Against(engine="ncnn@1", pairs=against(1.08, 1.081, 1.079).pairs, reason="the board went away")
    verdict = judge_pairs(measurement(against=cut))
    assert verdict.kind == "regressed"
    assert verdict.reason.endswith("3 pairs); the pairs ended early: the board went away")


@pytest.mark.parametrize(
    "unfit",
    [
        {"telemetry_before": {"throttled": True}},
        {
            "telemetry_before": {"throttled": False},
            "telemetry_after": {"throttled": False, "throttle_flags": ["throttled_occurred"]},
        },
        {"emulated": True},
        {"status": "crashed", "reason": "SIGSEGV", "launches": 0},
    ],
)
def test_what_is_not_judged_without_pairs_is_not_judged_with_them(unfit):
    verdict = judge_pairs(measurement(against=against(1.2, 1.2, 1.2), **unfit))
    assert verdict == judge(measurement(**unfit), None)
    assert verdict.kind in {"invalid", "inconclusive", "crashed"}
    assert verdict.ratio is None


def test_a_device_that_was_busy_while_versions_alternated_is_told():
    verdict = judge_pairs(measurement(against=against(1.2, 1.2, 1.2), telemetry_before={"load_average": 6.5}))
    assert verdict.kind == "regressed"
    assert "busy (load 6.5 on 2 cores)" in verdict.reason


def test_a_measurement_that_nothing_stands_against_is_no_pairing():
    with pytest.raises(ValueError, match="was not alternated"):
        judge_pairs(measurement())


def test_samples_below_a_clock_s_tick_have_a_ratio():
    still = Pair(candidate_ns=((0, 0),), against_ns=((0, 2),))
    assert pair_ratio(still) == 1.0
