import csv
import io
import json

import pytest
from rich.box import SQUARE
from rich.console import Console
from samples import case, measurement

from harness.spec import Expectation, Parity, ParityLimits, Verdict
from reports.numbers import UNKNOWN
from reports.tables import (
    EXPORT_COLUMNS,
    comparative_table,
    export_rows,
    to_csv,
    to_jsonl,
    verdict_counts,
)

WRONG = Parity(ok=False, outputs=(), limits=ParityLimits(), reference="onnxruntime fp32")


def expected(kind):
    return Expectation(
        model="m", runtime="r", precision="fp32", expect=kind, reason="known", evidence="an issue"
    )


def ended(status, **changes):
    return measurement(
        status=status, launches=0, latency=None, parity=None, verdict=Verdict(kind=status), **changes
    )


def on(runtime, centre_ms, *, version="1.0", **changes):
    keys = ("model", "precision", "threads", "backend")
    made = {key: changes.pop(key) for key in keys if key in changes}
    one = case(runtime=runtime, runtime_version=version, **made)
    return measurement(case=one, centre_ms=centre_ms, **changes)


def shown(measurements, *, width=160):
    console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
    table = comparative_table(measurements)
    # Lines between the columns, so that empty cells can be told from spaces.
    table.box, table.pad_edge, table.min_width = SQUARE, True, 90
    console.print(table)
    return console.export_text()


def line_with(text, *words):
    (line,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return [cell.strip() for cell in line.strip()[1:-1].split("│")]


def test_export_has_exactly_the_promised_columns():
    (row,) = export_rows([measurement(launches=3)])
    assert tuple(row) == EXPORT_COLUMNS
    assert row["latency_ms_median"] == 26.0
    assert row["latency_ms_p90"] == pytest.approx(27.3)
    assert row["load_ms"] == 50.0
    assert row["first_ms"] == pytest.approx(52.0)
    assert row["peak_rss_mib"] == 90.0
    assert (row["launches"], row["parity_ok"], row["verdict"]) == (3, True, "new")


def test_a_case_that_was_not_measured_is_exported_with_empty_figures():
    (row,) = export_rows([ended("crashed")])
    assert row["verdict"] == "crashed"
    assert row["launches"] == 0
    empty = [name for name in EXPORT_COLUMNS if row[name] is None]
    assert empty == list(EXPORT_COLUMNS[7:17])


def test_csv_reads_back_as_what_was_written():
    odd = measurement(device='a "quoted", name\nof two lines')
    rows = list(csv.DictReader(io.StringIO(to_csv([odd, ended("timeout")]))))
    assert tuple(rows[0]) == EXPORT_COLUMNS
    assert rows[0]["device"] == odd.device
    assert float(rows[0]["latency_ms_median"]) == 26.0
    assert rows[0]["parity_ok"] == "true"
    assert (rows[1]["latency_ms_median"], rows[1]["parity_ok"]) == ("", "")
    assert to_csv([]) == ",".join(EXPORT_COLUMNS) + "\n"


def test_jsonl_is_one_object_a_line_in_the_order_of_the_columns():
    lines = to_jsonl([measurement(), ended("failed")]).splitlines()
    rows = [json.loads(line) for line in lines]
    assert tuple(rows[0]) == EXPORT_COLUMNS
    assert rows[1]["parity_ok"] is None
    assert to_jsonl([]) == ""


def test_models_go_down_and_runtimes_across():
    text = shown([on("ncnn", 26.6), on("onnxruntime", 32.9), on("ncnn", 1.41, model="ppocr_cls")])
    assert line_with(text, "precision") == ["model", "precision", "ncnn", "onnxruntime"]
    assert line_with(text, "ppocr_det") == ["ppocr_det", "fp32", "* 26.6 ms", "32.9 ms"]
    assert line_with(text, "ppocr_cls") == ["ppocr_cls", "fp32", "1.41 ms", ""]
    assert "on local, 1 thread" in text
    assert "* best in its row" in text


def test_the_best_is_also_bold_and_green():
    console = Console(width=120, force_terminal=True, color_system="standard", file=io.StringIO())
    console.print(comparative_table([on("ncnn", 26.6), on("mnn", 30)]))
    assert "\x1b[1;32m* 26.6 ms" in console.file.getvalue()


def test_a_row_of_one_has_no_best_and_no_legend():
    text = shown([on("ncnn", 26.6)])
    assert "*" not in text
    assert "best" not in text


def test_fast_and_wrong_is_not_the_best():
    text = shown([on("ncnn", 3.0, parity=WRONG), on("mnn", 20), on("onnxruntime", 30)])
    assert line_with(text, "ppocr_det") == ["ppocr_det", "fp32", "* 20.0 ms", "≠ 3.00 ms", "30.0 ms"]
    assert "≠ output differs from the reference" in text


def test_figures_of_a_throttling_device_are_not_the_best():
    text = shown([on("ncnn", 3.0, verdict=Verdict(kind="invalid")), on("mnn", 20), on("onnxruntime", 30)])
    assert line_with(text, "ppocr_det")[3] == "3.00 ms (invalid)"
    assert "not fit to measure" in text


def test_what_was_not_measured_is_a_word():
    cells = [
        ended("crashed", case=case(runtime="mnn")),
        ended("unsupported", case=case(runtime="ncnn"), expectation=expected("unsupported")),
        ended("timeout", case=case(runtime="onnxruntime")),
        on("paddlelite", 9.0, version="2.13rc0", parity=WRONG, expectation=expected("parity")),
    ]
    text = shown(cells)
    assert line_with(text, "ppocr_det")[2:] == [
        "crashed",
        "unsupported (known)",
        "timeout",
        "≠ 9.00 ms (known)",
    ]
    assert "(known) expected, see suites/expectations.toml" in text


def test_versions_are_named_only_where_a_runtime_has_two():
    text = shown([on("ncnn", 26, version="1.10"), on("ncnn", 25, version="1.9"), on("mnn", 30)])
    assert line_with(text, "precision") == ["model", "precision", "mnn", "ncnn@1.9", "ncnn@1.10"]


def test_threads_device_and_backend_are_columns_only_when_there_are_several():
    several = [on("ncnn", 26, threads=4), on("ncnn", 40, device="pixel7", backend="vulkan")]
    header = line_with(shown(several), "precision")
    assert header == ["model", "precision", "device", "threads", "backend", "ncnn"]
    assert line_with(shown(several), "pixel7") == ["ppocr_det", "fp32", "pixel7", "1", "vulkan", "40.0 ms"]


def test_rows_are_ordered_whatever_the_order_of_measuring():
    taken = [on("ncnn", 9, precision=p, model=m) for m in ("b", "a") for p in ("int8", "fp16", "fp32")]
    text = shown(taken)
    rows = [line.split("│")[1:3] for line in text.splitlines() if "9.00 ms" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        [m, p] for m in ("a", "b") for p in ("fp32", "fp16", "int8")
    ]


def test_a_repeated_case_shows_its_last_measurement():
    text = shown([on("ncnn", 99), on("ncnn", 26)])
    assert "26.0 ms" in text
    assert "99" not in text


def test_names_with_markup_are_shown_and_not_obeyed():
    text = shown([on("ncnn", 26, device="[red]lab[/nope]", model="[bold]m"), on("ncnn", 26, device="b")])
    assert "[red]lab[/nope]" in text
    assert "[bold]m" in text
    assert "[red]lab" in shown([on("ncnn", 26, device="[red]lab[/nope]")])


def test_emulated_devices_are_called_so():
    assert "on board (emulated)" in shown([on("ncnn", 26, device="board", emulated=True)])


def test_an_emulator_has_no_best():
    text = shown([on(engine, 26, device="board", emulated=True) for engine in ("mnn", "ncnn")])
    assert "*" not in text


def test_what_an_emulator_took_is_counted_as_not_judged():
    noisy = measurement(verdict=Verdict(kind="inconclusive"))
    emulated = measurement(verdict=Verdict(kind="inconclusive"), emulated=True)
    assert verdict_counts([noisy, emulated]) == "1 inconclusive, 1 not judged (emulated)"


def test_a_table_of_nothing_is_empty():
    assert comparative_table([]).row_count == 0


def test_verdicts_are_counted_worst_first():
    taken = [
        *[measurement(verdict=Verdict(kind="ok"))] * 3,
        measurement(verdict=Verdict(kind="regressed")),
        measurement(verdict=Verdict(kind="ok"), parity=WRONG),
        measurement(verdict=Verdict(kind="new"), parity=WRONG, expectation=expected("parity")),
        ended("unsupported", expectation=expected("unsupported")),
        ended("crashed"),
    ]
    assert verdict_counts(taken) == (
        "1 regressed, 1 crashed, 1 unsupported (known), 1 new, 4 ok; 1 with wrong output"
    )
    assert verdict_counts([]) == "nothing measured"


def test_what_a_runtime_does_not_offer_is_a_dash_and_no_failure():
    absent = ended("unsupported", case=case(runtime="mnn"), not_applicable=True)
    text = shown([absent, on("ncnn", 26)])
    assert line_with(text, "ppocr_det")[2:] == [UNKNOWN, "26.0 ms"]
    assert f"{UNKNOWN} not offered by this runtime" in text
    assert verdict_counts([absent, on("ncnn", 26)]) == "1 new, 1 not applicable"
