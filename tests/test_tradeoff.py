"""What each choice costs, which of them nothing beats, and which is the fastest within limits."""

import math

import msgspec
import pytest
import report_samples
from hypothesis import given
from hypothesis import strategies as st
from samples import case, measurement

from harness.recommend import Limits, excesses, recommend
from harness.spec import Interval, OutputParity, Parity, ParityLimits, Verdict
from harness.tradeoff import dominates, error_of, tied_with, trade_offs

MIB = 2**20


def parity(*errors, ok=True):
    outputs = tuple(
        OutputParity(name=f"out{n}", ok=ok, max_rel=error, cosine=0.999, failure="" if ok else "too far")
        for n, error in enumerate(errors)
    )
    return Parity(ok=ok, outputs=outputs, limits=ParityLimits(), reference="onnxruntime fp32")


def measured(runtime, ms=10.0, *, mib=4.0, error=1e-6, precision="fp32", threads=1, **changes):
    """A case that took `ms` with an interval of 2 % around it."""
    one = measurement(
        launches=1,
        centre_ms=ms,
        case=case(runtime=runtime, runtime_version="1", precision=precision, threads=threads),
        parity=parity(error),
    )
    artifact = report_samples.measurement(case(), count=0).artifact
    sized = msgspec.structs.replace(artifact, size_bytes=int(mib * MIB))
    return msgspec.structs.replace(one, **{"artifact": sized, **changes})


def ended(runtime, status, reason):
    nothing = {"latency": None, "parity": None, "launches": (), "artifact": None}
    return measured(runtime, status=status, reason=reason, verdict=Verdict(kind=status), **nothing)


def only(*measurements):
    (found,) = trade_offs(measurements)
    return found


def standings(found):
    return {choice.case.runtime: choice.standing for choice in found.choices}


def test_what_is_beaten_in_latency_size_and_error_is_dominated_and_the_rest_is_the_front():
    found = only(
        measured("fast", 10, mib=4, error=1e-3),
        measured("small", 20, mib=1, error=1e-3),
        measured("exact", 30, mib=4, error=1e-7),
        measured("beaten", 31, mib=4, error=1e-3),
    )
    assert standings(found) == {
        "fast": "front",
        "small": "front",
        "exact": "front",
        "beaten": "dominated",
    }
    assert [choice.case.runtime for choice in found.choices if choice.fastest] == ["fast"]


def test_equal_choices_are_both_on_the_front():
    found = only(measured("one"), measured("other"))
    assert set(standings(found).values()) == {"front"}
    assert sum(choice.fastest for choice in found.choices) == 1


def test_choices_come_by_latency_and_those_that_are_not_right_last():
    found = only(
        ended("lost", "unsupported", "no layer for torch.unbind"),
        measured("slow", 30),
        measured("wrong", 1, parity=parity(0.9, ok=False)),
        measured("quick", 10),
    )
    assert [choice.case.runtime for choice in found.choices] == ["quick", "slow", "wrong", "lost"]
    assert [choice.case.runtime for choice in found.right] == ["quick", "slow"]
    assert [(c.trouble, c.reason) for c in found.troubled] == [
        ("wrong outputs", "out0: too far"),
        ("unsupported", "no layer for torch.unbind"),
    ]


def test_a_wrong_choice_neither_beats_a_right_one_nor_is_the_fastest():
    found = only(measured("wrong", 1, mib=1, error=0.0, parity=parity(0.0, ok=False)), measured("right", 9))
    assert standings(found) == {"right": "front", "wrong": "unranked"}
    assert found.choices[0].fastest


@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        ({"verdict": Verdict(kind="invalid", reason="throttled")}, "invalid"),
        ({"parity": None}, "not compared"),
        ({"latency": None}, "failed"),
        ({"status": "crashed", "reason": "SIGSEGV"}, "crashed"),
    ],
)
def test_every_way_not_to_count_has_its_word(changes, trouble):
    (choice,) = only(measured("ncnn", **changes)).choices
    assert choice.trouble == trouble
    assert choice.reason
    assert not choice.fastest


@pytest.mark.parametrize("missing", [{"artifact": None}, {"parity": parity(math.nan)}])
def test_a_missing_figure_beats_nothing_and_is_beaten_by_nothing(missing):
    found = only(measured("full", 10), measured("lacking", 20, **missing))
    assert standings(found) == {"full": "front", "lacking": "unranked"}


def test_a_latency_that_is_not_a_number_is_none():
    nothing = Interval(centre_ms=math.nan, low_ms=math.nan, high_ms=math.nan, confidence=0.95)
    one = measured("ncnn")
    broken = msgspec.structs.replace(one, latency=msgspec.structs.replace(one.latency, interval=nothing))
    found = only(broken, measured("mnn"))
    assert standings(found) == {"mnn": "front", "ncnn": "unranked"}
    assert found.choices[-1].latency is None


def test_an_emulator_ranks_nothing_and_is_never_recommended_on():
    found = only(measured("one", 10, emulated=True), measured("other", 20, emulated=True))
    assert found.emulated
    assert set(standings(found).values()) == {"unranked"}
    assert not any(choice.fastest for choice in found.choices)
    assert recommend(found, Limits()).chosen is None


def test_devices_and_models_are_apart_and_the_last_of_a_case_counts():
    first, second = measured("ncnn", 10), measured("ncnn", 20)
    elsewhere = measured("ncnn", 5, device="pixel7")
    found = trade_offs([first, elsewhere, second])
    assert [(one.device, [c.latency_ms for c in one.choices]) for one in found] == [
        ("local", [20]),
        ("pixel7", [5]),
    ]
    assert [one.device for one in trade_offs([first, elsewhere], device="pixel7")] == ["pixel7"]
    assert trade_offs([first], model="another") == ()


def test_threads_and_backends_of_one_runtime_are_choices_of_their_own():
    found = only(measured("ncnn", 10, threads=4), measured("ncnn", 30, threads=1))
    assert [choice.case.threads for choice in found.choices] == [4, 1]


def test_the_error_is_that_of_the_worst_output():
    assert error_of(parity(1e-6, 3e-2, 1e-4)) == 3e-2


def test_an_output_that_is_identical_and_has_no_figure_has_no_error():
    assert error_of(parity(None, 1e-4)) == 1e-4
    assert error_of(parity(None)) == 0.0
    assert error_of(parity(None, ok=False)) is None
    assert error_of(None) is None


costs = st.tuples(
    st.floats(0.01, 1e3), st.floats(0.01, 1e3), st.one_of(st.just(0.0), st.floats(1e-9, 10), st.none())
)


@given(st.lists(costs, min_size=1, max_size=8))
def test_the_front_is_what_no_other_dominates(given_costs):
    found = only(
        *(
            measured(f"r{n}", ms, mib=mib, parity=parity(error) if error is not None else parity(math.nan))
            for n, (ms, mib, error) in enumerate(given_costs)
        )
    )
    for choice in found.choices:
        beaten = any(dominates(other, choice) for other in found.choices)
        ranked = choice.error is not None
        assert choice.standing == ("unranked" if not ranked else "dominated" if beaten else "front")
    if any(choice.error is not None for choice in found.choices):
        assert any(choice.standing == "front" for choice in found.choices)


def test_the_fastest_within_the_limits_is_recommended_and_the_next_is_named():
    found = only(
        measured("large", 5, mib=9),
        measured("coarse", 6, error=0.2),
        measured("fits", 10),
        measured("slower", 15),
    )
    told = recommend(found, Limits(max_error=0.01, max_size_mib=5))
    assert told.chosen.case.runtime == "fits"
    assert told.rivals == ()
    assert told.runner_up.case.runtime == "slower"
    assert told.excluded == {"artifact": 1, "error": 1}


def test_choices_whose_intervals_overlap_cannot_be_told_apart():
    found = only(measured("a", 10), measured("b", 10.3), measured("c", 12))
    told = recommend(found, Limits())
    assert [rival.case.runtime for rival in told.rivals] == ["b"]
    assert told.runner_up.case.runtime == "c"
    assert tied_with(found.choices[2], found.choices) == ()


def test_of_what_exceeds_the_limits_the_nearest_is_told_with_what_excludes_it():
    found = only(measured("near", 20, mib=5), measured("far", 10, mib=9))
    told = recommend(found, Limits(max_size_mib=4, max_error=1e-3))
    assert told.chosen is None
    assert told.nearest.case.runtime == "near"
    assert [(e.what, e.value, e.limit) for e in told.excesses] == [("artifact", 5, 4)]


def test_a_limit_holds_at_its_own_value_and_not_for_a_figure_that_is_not_known():
    (exact,) = only(measured("exact", mib=4, error=0.0)).choices
    assert excesses(exact, Limits(max_error=0.0, max_size_mib=4.0)) == ()
    (blind,) = only(measured("blind", parity=parity(math.nan))).choices
    (excess,) = excesses(blind, Limits(max_error=1.0))
    assert (excess.value, excess.ratio) == (None, math.inf)


def test_nothing_right_leaves_nothing_near():
    told = recommend(only(ended("ncnn", "crashed", "SIGSEGV")), Limits(max_error=1))
    assert (told.chosen, told.nearest, told.right) == (None, None, 0)


def test_peak_memory_limits_too():
    found = only(measured("heavy", 5), measured("light", 9, launches=()))
    peak = found.choices[0].peak_rss_mib
    told = recommend(found, Limits(max_peak_rss_mib=peak - 1))
    assert told.chosen is None
    assert told.nearest.case.runtime == "heavy"
    assert recommend(found, Limits(max_peak_rss_mib=peak)).chosen.case.runtime == "heavy"
