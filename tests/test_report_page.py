"""The report as a document: complete, escaped, closed to the network, the same every time."""

import json
import re
import time

import msgspec
import pytest
import report_samples
import samples
from report_document import Document

from reports import overview
from reports.figures import Bar, bar_panel
from reports.page import embedded, history_key, render_page, write_page
from reports.tables import export_rows
from reports.view import rows


@pytest.fixture(scope="module")
def night():
    return [*report_samples.nightly(iterations=40), *report_samples.emulated(iterations=20)]


@pytest.fixture(scope="module")
def page(night):
    return render_page(report_samples.night_info(devices=("pixel7", "pi5-qemu")), night)


@pytest.fixture(scope="module")
def document(page):
    return Document(page)


def test_every_case_has_its_own_place_and_every_link_leads_somewhere(night, document):
    assert len([name for name in document.ids if name.startswith("case-")]) == len(night)
    assert len(document.ids) == len(set(document.ids))
    inner = {link[1:] for link in document.links if link.startswith("#")}
    assert inner <= set(document.ids)


def test_every_reason_expectation_and_evidence_is_told(night, document):
    for measurement in night:
        told = [measurement.reason, measurement.verdict.reason]
        if measurement.expectation:
            told += [measurement.expectation.reason, measurement.expectation.evidence]
        for text in filter(None, told):
            assert text in document.text


def test_the_banner_counts_what_changed_and_what_was_lost(night):
    info = report_samples.night_info(planned=61)
    banner = overview.banner(info, rows(night))
    counts = {tally.word: tally.amount for tally in banner.tallies}
    assert banner.headline == "2 cases got slower, 1 case got faster"
    assert banner.tone == "bad"
    assert counts == {
        "regressed": 2,
        "improved": 1,
        "not measured": 2,
        "wrong outputs": 1,
        "not as expected": 1,
        "over budget": 1,
        "inconclusive or invalid": 2,
        "unchanged": 47,
        "emulated, not judged": 4,
        "expected": 3,
        "not reached": 1,
    }


def test_a_quiet_night_has_a_good_banner_and_no_empty_sections():
    case = samples.case(threads=4)
    quiet = [report_samples.measurement(case, iterations=10)]
    assert overview.banner(report_samples.night_info(planned=1), rows(quiet)).tone == "good"
    document = Document(render_page(report_samples.night_info(planned=1), quiet))
    assert not {"changes", "problems", "unclear", "expected"} & set(document.ids)
    assert "No latency changed" in document.text


def test_nothing_is_loaded_from_anywhere(page, document):
    assert document.loads == ["data:,"]
    assert "default-src 'none'" in page
    outside = {link for link in document.links if not link.startswith("#")}
    assert outside == {"https://github.com/PaddlePaddle/X2Paddle/issues/1"}  # evidence, followed by hand only
    styles = "".join(re.findall(r"<style>.*?</style>", page, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    assert "http" not in "".join(re.findall(r"<script>.*?</script>|<svg.*?</svg>", page, re.DOTALL))


def test_the_same_run_gives_the_same_bytes(night):
    info = report_samples.night_info()
    assert render_page(info, night) == render_page(info, night)


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }} $x$ \u2028"


def test_hostile_names_stay_text_everywhere():
    case = samples.case(model=HOSTILE, runtime=HOSTILE, runtime_version=HOSTILE)
    fine = samples.measurement(
        case=case, device=HOSTILE, environment={HOSTILE: HOSTILE}, facts={HOSTILE: HOSTILE}
    )
    lost = report_samples.lost(samples.case(), "crashed", HOSTILE, device=HOSTILE)
    wrong = report_samples.wrong(samples.case(), HOSTILE, device=HOSTILE)
    known = report_samples.expectation(samples.case(), "crashed", HOSTILE, "javascript:alert(3)")
    expected = report_samples.lost(samples.case(), "crashed", HOSTILE, expectation=known)
    info = samples.run_info(argv=("pytest", HOSTILE), devices=(HOSTILE,), host={HOSTILE: HOSTILE})
    page = render_page(info, [fine, lost, wrong, expected])
    document = Document(page)
    assert document.tags.count("script") == 3
    assert "img" not in document.tags
    assert not [link for link in document.links if link.startswith("javascript")]
    assert "49" not in document.text
    assert json.loads(document.data)["measurements"][0]["case"]["model"] == HOSTILE
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in document.ids)


def test_a_run_without_any_measured_case_still_makes_a_page():
    nothing = Document(render_page(samples.run_info(planned=3), []))
    assert "Nothing was measured" in nothing.text
    assert "3 not reached" in nothing.text
    lost = [report_samples.lost(samples.case(), status, f"why {status}") for status in ("crashed", "timeout")]
    document = Document(render_page(samples.run_info(), lost))
    assert "Nothing was measured" in document.text
    assert "why timeout" in document.text
    assert "latency" not in document.ids


def test_the_embedded_data_is_the_run_with_every_sample(night, document):
    data = json.loads(document.data)
    assert data == msgspec.json.decode(
        msgspec.json.encode(embedded(report_samples.night_info(devices=("pixel7", "pi5-qemu")), night))
    )
    assert [m["case"]["model"] for m in data["measurements"]] == [m.case.model for m in night]
    for stored, measurement in zip(data["measurements"], night, strict=True):
        for launch, original in zip(stored["launches"], measurement.launches, strict=True):
            if original.result:
                exact = [ns / 1e3 for ns in original.result.samples_ns]
                assert launch["result"]["samples_us"] == pytest.approx(exact, rel=1e-3)
                assert len(launch["result"]["gaps_us"]) == len(exact)


def test_the_table_to_download_is_that_of_the_export(night):
    data = embedded(report_samples.night_info(), night)
    assert [dict(zip(data["columns"], line, strict=True)) for line in data["table"]] == export_rows(night)


def test_emulated_timings_carry_their_mark(night, page):
    board = [row for row in rows(night) if row.measurement.emulated]
    for row in board:
        drill_down = page[page.index(f'id="{row.anchor}"') :]
        drill_down = drill_down[: drill_down.index("</details>")]
        assert drill_down.count('class="emulated"') >= 4
        line = next(
            part for part in page.split("<tr") if f'href="#{row.anchor}"' in part and "data-device" in part
        )
        assert 'class="emulated"' in line
    assert "ncnn@1.0.20261020 · emulated" in page
    real = render_page(report_samples.night_info(), [m for m in night if not m.emulated])
    assert 'class="emulated"' not in real


def test_repeated_measurements_of_a_case_get_different_anchors():
    twice = [samples.measurement(launches=1), samples.measurement(launches=1)]
    anchors = [row.anchor for row in rows(twice)]
    assert len(set(anchors)) == 2


def test_history_is_drawn_as_a_trend(night):
    known = {history_key(night[0]): report_samples.earlier(night[0])}
    document = Document(render_page(report_samples.night_info(), night[:2], history=known))
    assert document.text.count("11 runs since 2026-11-12") == 1


def test_fifty_cases_with_fifteen_hundred_samples_are_small_and_quick():
    night = report_samples.nightly(iterations=500)
    started = time.process_time()
    page = render_page(report_samples.night_info(), night)
    assert time.process_time() - started < 3
    assert len(page.encode()) < 4e6


def test_a_page_is_written_whole_or_not_at_all(tmp_path, night):
    path = tmp_path / "deep" / "report.html"
    write_page(path, report_samples.night_info(), night[:1])
    assert path.read_text(encoding="utf-8").endswith("</html>")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_panel_keeps_labels_as_text_and_names_no_place_of_the_machine():
    label = 'a <b> "$x$" 1.0.20261020 文'
    svg = bar_panel([Bar(group=label, label="fp32", hue=9, text="1.2 ms", value=1.2)], title='x"y')
    assert "1.0.20261020 文" in svg
    assert "<b>" not in svg
    assert "var(--rt-1)" in svg
    assert "font-family" not in svg
    assert 'aria-label="x&#34;y"' in svg
