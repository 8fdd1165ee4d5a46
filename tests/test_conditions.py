"""What is told of a device's state beside a verdict."""

import pytest
from samples import measurement

from harness.conditions import conditions
from harness.verdict import judge


def state(**readings):
    return {"at": "2026-11-22T17:45:00+00:00", **readings}


def felt(before=None, after=None):
    """A measurement with these readings of one sensor around it."""
    readings = {
        f"telemetry_{when}": state(**said) for when, said in (("before", before), ("after", after)) if said
    }
    return measurement(**readings)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (False, False, "the screen was off"),
        (False, True, "the screen was off"),
        (True, False, "the screen went off meanwhile"),
        (None, False, "the screen went off meanwhile"),
    ],
)
def test_a_screen_that_was_off_is_told_and_never_judged(before, after, told):
    dark = felt({"screen_on": before}, {"screen_on": after})
    assert any(told in condition for condition in conditions(dark))
    for baseline, kind in ((None, "new"), (measurement(), "ok")):
        verdict = judge(dark, baseline)
        assert verdict.kind == kind
        assert told in verdict.reason


@pytest.mark.parametrize("readings", [{}, {"screen_on": None, "charging": None}, {"screen_on": True}])
def test_what_is_unknown_or_as_it_should_be_is_not_told(readings):
    assert conditions(felt(readings, readings)) == []


@pytest.mark.parametrize(
    ("before", "after", "baseline", "told"),
    [
        (True, True, True, []),
        (True, True, None, []),
        (True, False, True, ["the device ceased to charge meanwhile"]),
        (False, True, None, ["the device began to charge meanwhile"]),
        (True, True, False, ["the device was charging, in the baseline it was not"]),
        (False, False, True, ["the device was not charging, in the baseline it was"]),
        (None, True, True, []),
    ],
)
def test_charging_is_told_where_it_changed(before, after, baseline, told):
    charged = felt({"charging": before}, {"charging": after})
    assert conditions(charged, felt({"charging": baseline})) == told
