import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import case, launch, measurement

from harness.spec import Artifact, BundleInfo
from harness.verdict import compare, judge


def artifact(key):
    return Artifact(key=key, converter="pnnx", options={}, files={}, size_bytes=1, sha256={})


def bundle(key):
    return BundleInfo(
        key=key, kind="wheel", runtime="ncnn", version="1", platform="x", python=None, packages={}
    )


def with_launches(*centres_ms, **changes):
    launches = tuple(launch(i, centre_ms=ms, iterations=40) for i, ms in enumerate(centres_ms))
    return msgspec.structs.replace(measurement(**changes), launches=launches)


@pytest.mark.parametrize("status", ["crashed", "timeout", "unsupported", "failed"])
def test_a_case_that_was_not_measured_is_named_after_how_it_ended(status):
    verdict = judge(measurement(status=status, reason="SIGSEGV during load", launches=0), measurement())
    assert (verdict.kind, verdict.reason) == (status, "SIGSEGV during load")


def test_a_case_without_a_timed_iteration_failed():
    assert judge(measurement(launches=0), measurement()).kind == "failed"


def test_a_case_without_a_baseline_is_new():
    assert judge(measurement(), None).kind == "new"


def test_the_same_launches_again_are_ok():
    verdict = judge(measurement(run_id="b"), measurement(run_id="a"))
    assert verdict.kind == "ok"
    assert verdict.ratio == 1.0
    assert verdict.baseline_run == "a"


def test_a_large_change_over_seven_launches_is_regressed_or_improved():
    slow, fast = measurement(centre_ms=30, launches=7), measurement(centre_ms=26, launches=7, seed=50)
    worse, better = judge(slow, fast), judge(fast, slow)
    assert (worse.kind, better.kind) == ("regressed", "improved")
    assert worse.ratio_low > 1.03
    assert worse.ratio == pytest.approx(30 / 26, rel=0.02)
    assert "p = 0.00058" in worse.reason
    assert worse.reason.startswith("+14.8 % [")


def test_three_against_three_launches_are_inconclusive_however_large_the_change():
    verdict = judge(measurement(centre_ms=260, launches=3), measurement(centre_ms=26, launches=3))
    assert verdict.kind == "inconclusive"
    assert "3 against 3 launches cannot show a change (p is never below 0.1, 0.05 is asked)" in verdict.reason
    assert "it takes 5 against 3; confirm with --effort nightly" in verdict.reason
    assert verdict.ratio == pytest.approx(10, rel=0.02)


def test_a_baseline_of_one_launch_has_to_be_measured_again():
    verdict = judge(measurement(centre_ms=52, launches=7), measurement(launches=1))
    assert verdict.kind == "inconclusive"
    assert "4 in each; measure the baseline too" in verdict.reason


def test_launches_that_overlap_show_no_change():
    baseline = with_launches(20, 20, 20, 20, 30, 30, 30, run_id="a")
    candidate = with_launches(25, 25, 25, 25, 25, 25, 25, run_id="b")
    assert judge(candidate, baseline).kind == "inconclusive"


def test_noise_too_wide_to_tell_slower_from_faster_is_inconclusive():
    spread = (20, 22, 24, 26, 28, 30, 32)
    verdict = judge(with_launches(*spread), with_launches(*spread[::-1]))
    assert verdict.kind == "inconclusive"
    assert "too noisy" in verdict.reason


def test_the_learned_noise_floor_widens_the_margin():
    slow, fast = measurement(centre_ms=28, launches=7), measurement(centre_ms=26, launches=7, seed=50)
    assert judge(slow, fast).kind == "regressed"
    assert judge(slow, fast, noise_floor=0.2).kind == "ok"


def test_a_change_of_microseconds_is_no_regression():
    slow = measurement(centre_ms=0.024, launches=7)
    fast = measurement(centre_ms=0.020, launches=7, seed=50)
    assert judge(slow, fast).kind == "ok"
    assert judge(slow, fast, absolute_floor_ms=0.001).kind == "regressed"


def test_only_a_device_that_says_it_throttles_makes_the_figures_invalid():
    assert judge(measurement(telemetry_before={"throttled": True}), None).kind == "invalid"
    assert judge(measurement(telemetry_after={"throttled": True}), measurement()).kind == "invalid"
    for unknown in ({}, {"throttled": None}, {"throttled": False}):
        assert judge(measurement(telemetry_before=unknown), measurement()).kind == "ok"


def reading(*flags):
    return {
        "throttled": any(not flag.endswith("_occurred") for flag in flags),
        "throttle_flags": list(flags),
    }


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (reading(), reading("throttled_occurred"), "invalid"),
        (reading("throttled_occurred"), reading("throttled_occurred", "under_voltage_occurred"), "invalid"),
        (reading("throttled_occurred"), reading("throttled_occurred"), "ok"),
        (reading("throttled_occurred"), reading(), "ok"),
        ({"throttled": None}, reading("throttled_occurred"), "ok"),
        ({}, reading("throttled_occurred"), "ok"),
        (reading(), {}, "ok"),
    ],
)
def test_throttling_between_the_two_readings_makes_the_figures_invalid(before, after, kind):
    felt = {"telemetry_before": before, "telemetry_after": after}
    assert judge(measurement(**felt), measurement()).kind == kind
    assert judge(measurement(), measurement(**felt)).kind == ("new" if kind == "invalid" else "ok")


def test_throttling_is_told_with_its_cause_and_its_cure():
    hot = measurement(telemetry_before=reading(), telemetry_after=reading("throttled_occurred"))
    assert judge(hot, None).reason == "local was throttling (throttled): cool it and run again"
    weak = measurement(telemetry_before=reading("under_voltage"), telemetry_after=reading("under_voltage"))
    reason = judge(weak, None).reason
    assert reason == "local was throttling (under voltage): give it a stronger power supply and run again"


def on_cpus(*affinities, **changes):
    taken = measurement(launches=len(affinities), **changes)
    launches = tuple(
        msgspec.structs.replace(
            launched, result=msgspec.structs.replace(launched.result, affinity=affinity and tuple(affinity))
        )
        for launched, affinity in zip(taken.launches, affinities, strict=True)
    )
    return msgspec.structs.replace(taken, launches=launches)


def test_other_cpus_than_the_baseline_s_are_not_compared_and_both_are_told():
    little, big = [(0, 1, 2, 3)] * 7, [(4, 5, 6, 7)] * 7
    verdict = judge(on_cpus(*little, centre_ms=80), on_cpus(*big, run_id="a"))
    assert (verdict.kind, verdict.ratio) == ("new", None)
    assert verdict.reason == ("measured otherwise than the baseline in a: on CPUs 0-3, the baseline on 4-7")
    assert judge(on_cpus(*big, (6, 7)), on_cpus(*big)).kind == "new", "one launch was elsewhere"
    assert judge(on_cpus(*big, centre_ms=80), on_cpus(*big, seed=50)).kind == "regressed"
    assert judge(on_cpus(*[None] * 7), on_cpus(*big)).kind == "ok", "unknown is no difference"


def test_another_governor_than_the_baseline_s_is_not_compared_and_both_are_told():
    fast, slow = ({"governor": name} for name in ("performance", "powersave"))
    verdict = judge(measurement(telemetry_before=slow), measurement(telemetry_before=fast, run_id="a"))
    assert verdict.kind == "new"
    assert "in a: with the governor powersave, the baseline with performance" in verdict.reason
    assert judge(measurement(telemetry_after=slow), measurement(telemetry_before=fast)).kind == "new"
    assert judge(measurement(telemetry_before=slow), measurement(telemetry_before=slow)).kind == "ok"
    assert judge(measurement(telemetry_before=slow), measurement()).kind == "ok", "unknown is no difference"


def test_an_emulator_s_timings_are_never_judged():
    slow = measurement(centre_ms=260, launches=7, emulated=True)
    for baseline in (None, measurement(launches=7, emulated=True), slow):
        verdict = judge(slow, baseline)
        assert (verdict.kind, verdict.ratio) == ("inconclusive", None)
        assert "emulated" in verdict.reason
    assert judge(measurement(status="crashed", launches=0, emulated=True), None).kind == "crashed"
    assert judge(measurement(emulated=True, telemetry_after={"throttled": True}), None).kind == "invalid"


def test_a_busy_device_is_told_and_not_judged():
    verdict = judge(measurement(telemetry_before={"load_average": 6.5}), measurement())
    assert verdict.kind == "ok"
    assert "busy (load 6.5 on 2 cores)" in verdict.reason
    assert "busy" not in judge(measurement(telemetry_before={"load_average": 1.5}), measurement()).reason


@pytest.mark.parametrize(
    ("baseline", "reason"),
    [
        (measurement(case=case(threads=4)), "another case"),
        (measurement(device_fingerprint="0" * 16), "another device or system"),
        (measurement(status="crashed", launches=0), "was not measured"),
        (measurement(telemetry_before={"throttled": True}), "throttling in the baseline"),
    ],
)
def test_what_may_not_be_compared_is_new_and_says_why(baseline, reason):
    verdict = judge(measurement(), baseline)
    assert verdict.kind == "new"
    assert reason in verdict.reason
    assert verdict.ratio is None


def test_two_versions_are_compared_when_that_is_asked_for():
    other = measurement(case=case(runtime_version="1.0.20250503"), launches=7, seed=50)
    assert compare(measurement(centre_ms=40, launches=7), other).kind == "regressed"


def test_another_artifact_or_bundle_is_told():
    verdict = judge(
        measurement(artifact=artifact("b"), bundle=bundle("b")),
        measurement(artifact=artifact("a"), bundle=bundle("a")),
    )
    assert "the artifact differs" in verdict.reason
    assert "the bundle differs" in verdict.reason


@given(st.floats(0.2, 5.0), st.integers(1, 8), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_a_change_is_never_claimed_that_the_launches_cannot_show(scale, n, m):
    from harness.stats import smallest_reachable_p

    candidate = measurement(centre_ms=26 * scale, launches=n)
    baseline = measurement(launches=m, seed=50)
    verdict = judge(candidate, baseline)
    if verdict.kind in {"regressed", "improved"}:
        assert smallest_reachable_p(n, m) <= 0.05
        assert (verdict.kind == "regressed") == (scale > 1)
    assert verdict.ratio_low <= verdict.ratio <= verdict.ratio_high
