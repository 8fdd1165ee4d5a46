"""What the report claims of a case and of a night: best, expected, over budget; how it puts numbers."""

import msgspec
import pytest
import report_samples
import samples
from report_document import Document

from harness.spec import Budget, Verdict
from reports import numbers, overview
from reports.page import render_page
from reports.view import as_expected, rows


@pytest.mark.parametrize(
    ("kinds", "headline"),
    [
        (("ok", "ok", "inconclusive"), "No change shown"),
        (("ok", "inconclusive", "inconclusive"), "Too noisy to say what changed"),
        (("new", "inconclusive"), "Too noisy to say what changed"),
        (("new", "new"), "First figures, no baseline yet"),
    ],
)
def test_the_headline_claims_no_more_than_the_verdicts_say(kinds, headline):
    measured = [
        samples.measurement(case=samples.case(threads=number), verdict=Verdict(kind=kind))
        for number, kind in enumerate(kinds, 1)
    ]
    assert overview.banner(report_samples.night_info(planned=len(kinds)), rows(measured)).headline == headline


def test_the_best_of_a_row_is_right_and_its_equals_are_told():
    fp16 = [
        row
        for row in rows(report_samples.nightly(iterations=40))
        if row.measurement.case.model == "yolov8n" and row.measurement.case.precision == "int8"
    ]
    cells = {cell.row.measurement.case.runtime: cell.rank for cell in overview.ranked(fp16) if cell}
    assert cells == {
        "mnn": "",
        "ncnn": "best",
        "onnxruntime": "",
        "paddlelite": "",
    }  # mnn is faster but wrong
    twins = [
        report_samples.measurement(samples.case(runtime_version=version), iterations=5, slower=slower)
        for version, slower in (("1", 1.0), ("2", 1.01))
    ]
    assert [cell.rank for cell in overview.ranked(rows(twins)) if cell] == ["best", "tie"]


def test_an_emulated_run_is_neither_noisy_nor_over_its_latency_budget():
    verdict = Verdict(kind="inconclusive", reason="board is emulated")
    slow = samples.measurement(
        emulated=True, verdict=verdict, budget=Budget(latency_ms=1.0, peak_rss_mib=1.0), peak_mib=90.0
    )
    (row,) = rows([slow])
    assert (row.word, row.tone) == ("not judged", "quiet")
    assert [problem.reason for problem in row.problems] == ["peak 90.0 MiB is over its budget of 1.00 MiB"]
    light = msgspec.structs.replace(slow, budget=Budget(latency_ms=1.0))
    banner = overview.banner(report_samples.night_info(planned=1), rows([light]))
    assert (banner.headline, banner.tone) == ("No change could be judged", "quiet")
    assert [(tally.amount, tally.word) for tally in banner.tallies] == [(1, "emulated, not judged")]
    assert "unclear" not in Document(render_page(samples.run_info(), [light])).ids


def test_an_emulator_has_no_best():
    pair = [
        report_samples.measurement(samples.case(runtime_version=version), iterations=5, emulated=True)
        for version in ("1", "2")
    ]
    assert [cell.rank for cell in overview.ranked(rows(pair)) if cell] == ["", ""]


def test_what_a_runtime_does_not_offer_is_counted_quietly():
    case = samples.case(runtime="paddlelite")
    absent = report_samples.lost(case, "unsupported", "no wheel for aarch64", not_applicable=True)
    shown = rows([absent, report_samples.measurement(samples.case(), iterations=5)])
    banner = overview.banner(report_samples.night_info(planned=2), shown)
    assert {tally.word: tally.amount for tally in banner.tallies} == {"unchanged": 1, "not offered": 1}
    assert banner.tone == "good"
    assert not [problem for row in shown for problem in row.problems]
    for what in ("latency", "memory"):
        drawn = "".join(panel.svg for panel in overview.panels(shown, what))
        assert samples.case().runtime in drawn
        assert "paddlelite" not in drawn


def test_only_the_listed_deviation_counts_as_expected():
    case = samples.case()
    known = report_samples.expectation(case, "crashed", "dies at load", "seen on two boards")
    assert as_expected(report_samples.lost(case, "crashed", "died", expectation=known))
    other = rows([report_samples.lost(case, "timeout", "hangs", expectation=known)])[0]
    assert not other.expected
    assert [problem.kind for problem in other.problems] == ["unmeasured", "surprise"]
    works = rows([report_samples.measurement(case, iterations=5, expectation=known)])[0]
    assert [problem.kind for problem in works.problems] == ["surprise"]


def test_budgets_are_held_against_latency_and_memory():
    tight = Budget(latency_ms=1.0, peak_rss_mib=2.0)
    row = rows([report_samples.measurement(samples.case(), iterations=5, budget=tight)])[0]
    assert [problem.kind for problem in row.problems] == ["budget", "budget"]


def test_intervals_on_the_axis_of_changes_stay_on_it():
    wild = Verdict(kind="regressed", ratio=9.0, ratio_low=0.2, ratio_high=40.0)
    bare = Verdict(kind="regressed")
    chosen = rows([samples.measurement(launches=1, verdict=verdict) for verdict in (wild, bare)])
    drawn, axis = overview.changes(chosen, frozenset({"regressed"}))
    assert axis[1] == "+300 %"
    for change in drawn:
        assert 0 <= change.left <= change.dot <= change.left + change.width <= 100


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.01234, "0.0123"),
        (1.234, "1.23"),
        (26.44, "26.4"),
        (413.2, "413"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert numbers.number(value) == text


def test_a_change_is_a_signed_percentage():
    assert numbers.change(1.124) == "+12.4 %"
    assert numbers.change(0.913) == "\N{MINUS SIGN}8.7 %"


def test_recorded_facts_become_lines_and_unknown_ones_are_left_out():
    facts = {
        "ram_bytes": 8 << 30,
        "clock": {"cpu0": 1.5},
        "libc": None,
        "clusters": [{"cores": [0, 1]}, {"cores": [2]}],
    }
    assert numbers.pairs(facts) == (
        ("ram", "8.00 GiB"),
        ("clock.cpu0", "1.5"),
        ("clusters", "cores: 0, 1; cores: 2"),
    )
