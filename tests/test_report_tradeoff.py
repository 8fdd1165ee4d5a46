"""The report's trade-offs: dots that lead to their cases, labels that cover nothing, and the table behind."""

import re

import msgspec
import pytest
import report_samples
from samples import case, run_info

from reports.page import render_page
from reports.scatter import Dot, scatter
from reports.tradeoffs import panels
from reports.view import rows


def dot(latency_ms=10.0, error=1e-4, **changes):
    given = {
        "latency_ms": latency_ms,
        "low_ms": latency_ms * 0.98,
        "high_ms": latency_ms * 1.02,
        "error": error,
        "size_mib": 4.0,
        "hue": 1,
        "label": "fp16",
        "tip": "ncnn fp16",
        "anchor": "case-1",
        "look": "plain",
    }
    return Dot(**{**given, **changes})


def texts(svg):
    return re.findall(r">([^<>]+)</text>", svg)


def radii(svg):
    """Height of every linked dot's path."""
    paths = re.findall(r"<a href=[^>]*><title>[^<]*</title>\s*<path d=\"([^\"]+)\"", svg)
    ys = [[float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", path)] for path in paths]
    return [max(given) - min(given) for given in ys]


@pytest.fixture(scope="module")
def night():
    return report_samples.nightly(iterations=5)


def test_every_dot_leads_to_its_case_and_says_what_it_is(night):
    for panel in panels(rows(night)):
        with_figures = [line for line in panel.lines if line.choice.latency]
        links = re.findall(r'<a href="#([^"]+)"><title>([^<]+)</title>', panel.svg)
        assert {anchor for anchor, _ in links} == {line.row.anchor for line in with_figures}
        assert all(" ms · " in tip and "error" in tip for _, tip in links)
        assert "xlink" not in panel.svg


def test_a_choice_without_a_figure_is_in_the_table_only(night):
    (panel,) = [one for one in panels(rows(night)) if one.model == "ppocr_rec"]
    words = {(line.row.measurement.case.runtime, line.label): line.word for line in panel.lines}
    assert words["ncnn", "int8"] == "crashed"
    assert words["paddlelite", "fp16"] == "wrong outputs"
    assert len(panel.lines) == 12
    assert panel.svg.count("<title>") == 11


def test_threads_are_in_a_label_only_where_they_differ(night):
    (one, *_) = panels(rows(night))
    assert {line.label for line in one.lines} == {"fp32", "fp16", "int8"}
    both = [
        report_samples.measurement(
            case(runtime="mnn", runtime_version="3.6.1", threads=threads), iterations=5
        )
        for threads in (1, 4)
    ]
    (panel,) = panels(rows(both))
    assert [line.label for line in panel.lines] == ["fp32 1t", "fp32 4t"]


def test_one_choice_is_no_trade_off():
    alone = report_samples.measurement(case(runtime="mnn", runtime_version="3.6.1"), iterations=5)
    assert panels(rows([alone])) == ()
    assert 'id="tradeoff"' not in render_page(run_info(), [alone])


def test_an_emulated_device_has_no_front_and_no_fastest():
    for panel in panels(rows(report_samples.emulated(iterations=5))):
        assert panel.emulated
        assert {line.word for line in panel.lines} == {""}
        assert "(emulated)" in panel.svg
        assert "stroke: var(--ink)" not in panel.svg


def test_a_larger_artifact_is_a_larger_dot_by_area():
    svg = scatter([dot(10.0, size_mib=4.0), dot(20.0, size_mib=1.0, anchor="case-2")], title="t")
    large, small = radii(svg)
    assert large / small == pytest.approx(2.0, rel=0.02)


def test_an_error_of_zero_has_a_line_of_its_own():
    svg = scatter([dot(10.0, 0.0), dot(20.0, 1e-4, anchor="case-2")], title="t")
    assert "0" in texts(svg)
    assert "0" not in texts(scatter([dot(10.0), dot(20.0, anchor="case-2")], title="t"))


@pytest.mark.parametrize(
    "dots",
    [
        [dot()],
        [dot(error=0.0)],
        [dot(), dot(anchor="case-2")],
        [dot(1e-4, 1e300), dot(1e5, 1e-300, size_mib=None, anchor="case-2")],
        [dot(low_ms=0.0)],
    ],
)
def test_extremes_stay_on_the_drawing(dots):
    svg = scatter(dots, title="t")
    assert not re.search(r"nan|inf", svg, re.IGNORECASE)
    assert svg.count("<title>") == len(dots)
    for number in re.findall(r'<path d="M (-?[\d.]+) ', svg):
        assert -1 <= float(number) <= 481


def test_of_many_labels_none_covers_another_and_the_fastest_keeps_its_own():
    crowd = [dot(10 + n / 50, 1e-4, label=f"l{n}", anchor=f"case-{n}", bold=n == 7) for n in range(20)]
    labels = [
        text for text in texts(scatter(crowd, title="t")) if text.startswith("l") and text[1:].isdigit()
    ]
    assert "l7" in labels
    assert len(labels) < 20


def test_hostile_text_stays_text():
    svg = scatter([dot(label="<b>", tip='"><script>')], title='x"y')
    assert "<b>" not in svg
    assert "<script>" not in svg
    assert 'aria-label="x&#34;y"' in svg


def test_the_same_dots_give_the_same_bytes():
    dots = [dot(), dot(20.0, anchor="case-2", look="front"), dot(30.0, anchor="case-3", look="wrong")]
    assert scatter(dots, title="t") == scatter(dots, title="t")


def test_the_page_shows_both_word_and_figures(night):
    quiet = [m for m in night if m.case.model == "yolov8n"]
    page = render_page(report_samples.night_info(), quiet)
    section = page[page.index('id="tradeoff"') : page.index('id="latency"')]
    assert '<span class="rank best">fastest</span>' in section
    assert "wrong outputs" in section
    assert section.count('<tr class="') == len(quiet)
    tiny = msgspec.structs.replace(quiet[0], artifact=None)
    assert 'id="tradeoff"' in render_page(report_samples.night_info(), [tiny, *quiet[1:]])
