"""The `pocketbench` command on stored runs, as a user types it."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from samples import case, measurement, run_info

from harness.history import History, default_url
from harness.results import RunStore
from harness.spec import Verdict
from reports.tables import EXPORT_COLUMNS

OLD, NEW = "20261121-174500-aaaaaaaaaa", "20261122-174500-bbbbbbbbbb"
PROJECT = Path(__file__).parent.parent


def pocketbench(*arguments, cwd):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def folder(tmp_path):
    """Two runs; in the newer one a case got slower and another crashed."""
    store = RunStore(tmp_path / "results")
    with History(default_url(store.root)) as history:
        for run_id, centre_ms in ((OLD, 26.0), (NEW, 39.0)):
            writer = store.start(run_info(run_id=run_id))
            crashed = msgspec.structs.replace(
                measurement(run_id=run_id, case=case(runtime="mnn", runtime_version="3.6.1")),
                status="crashed",
                reason="SIGSEGV during load",
                launches=(),
                latency=None,
                parity=None,
                verdict=Verdict(kind="crashed"),
            )
            done = [measurement(run_id=run_id, centre_ms=centre_ms, launches=7), crashed]
            for one in done:
                writer.append(one)
            history.record(writer.finish(), *done)
    return tmp_path


def test_export_prints_the_documented_columns_one_row_per_case(folder):
    done = pocketbench("export", "last", "--format", "csv", cwd=folder)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 0
    assert tuple(rows[0]) == EXPORT_COLUMNS
    assert [row["runtime"] for row in rows] == ["ncnn", "mnn"]
    assert float(rows[0]["latency_ms_median"]) == 39.0
    assert rows[1]["latency_ms_median"] == ""


def test_export_writes_json_lines_into_a_file(folder):
    done = pocketbench("export", OLD, "--format", "jsonl", "-o", "out.jsonl", cwd=folder)
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert done.stdout == ""
    assert rows[0]["latency_ms_median"] == 26.0


def test_runs_lists_the_newest_first(folder):
    printed = pocketbench("runs", cwd=folder).stdout
    assert printed.index(NEW) < printed.index(OLD)
    assert "1 crashed" in printed


def test_compare_says_what_changed_by_how_much(folder):
    printed = pocketbench("compare", OLD, cwd=folder).stdout
    assert "regressed" in printed
    assert "+50" in printed


def test_a_baseline_can_be_named_listed_and_used(folder):
    assert pocketbench("baseline", "release-1", OLD, cwd=folder).returncode == 0
    assert f"release-1  {OLD}" in pocketbench("baseline", cwd=folder).stdout
    with History(default_url(folder / "results")) as history:
        found = history.baseline(case().key, "f" * 16, named="release-1")
    assert found.run_id == OLD


def test_the_report_is_made_again_with_its_trend(folder):
    done = pocketbench("report", "last", "-o", "page.html", cwd=folder)
    assert done.stdout.strip() == "page.html"
    assert NEW in (folder / "page.html").read_text()


def test_the_results_are_found_where_the_option_or_the_environment_says(folder, monkeypatch):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    assert NEW in pocketbench("runs", "--results-dir", "../results", cwd=elsewhere).stdout
    monkeypatch.setenv("POCKETBENCH_RESULTS", str(folder / "results"))
    assert NEW in pocketbench("runs", cwd=elsewhere).stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("export", "20261122-174500-bbbbbbbbbc"), f"Did you mean {NEW}"),
        (("compare", "nope"), "no run 'nope'"),
        (("models", "--zoo", "nowhere.toml"), "nowhere.toml"),
        (("bundles", "build", "ncn"), "Did you mean ncnn"),
        (("bundles", "build", "ncnn", "--abi", "arm64"), "unknown ABI 'arm64'. Did you mean arm64-v8a?"),
        (("bundles", "build", "ncnn", "--abi", "mips"), "Known: arm64-v8a, x86_64."),
        (("bundles", "build", "ncnn", "--abi", "arm64-v8a", "--device", "local"), "give one of them"),
        (("bundles", "build", "ncnn", "--abi", "arm64-v8a", "--kind", "wheel"), "with --device"),
        (("bundles", "build", "ncnn", "--kind", "wheel", "--bundle", "x"), "--bundle says what to take"),
        (("bundles", "build", "ncnn", "--kind", "wheels"), "'wheels' is not one of"),
        (("bundles", "build", "--out", "made"), "--out takes one bundle"),
        (("bundles", "build", "ncnn", "--out", "."), "is there and is no bundle"),
        (("baseline", "x", "nope"), "no run 'nope'"),
    ],
)
def test_a_wrong_name_is_one_line_and_exit_code_2(folder, arguments, told):
    done = pocketbench(*arguments, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_no_runs_yet_is_told(tmp_path):
    done = pocketbench("runs", cwd=tmp_path)
    assert done.returncode == 2
    assert "no runs in results yet" in done.stderr


def test_the_zoo_and_the_devices_are_listed():
    models = pocketbench("models", cwd=PROJECT).stdout
    assert "ppocr_det" in models
    assert "1x3x320x320" in models
    assert "local" in pocketbench("devices", cwd=PROJECT).stdout


def test_a_model_is_converted_without_being_measured(tmp_path):
    done = pocketbench(
        "convert", "ppocr_cls", "--runtime", "onnxruntime,ncnn", "--precision", "fp32", cwd=PROJECT
    )
    paths = [Path(line.split()[-1]) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(paths) == 2
    assert all((path / "artifact.json").is_file() for path in paths)


def test_a_reader_that_stops_reading_is_no_error(folder):
    many = measurement(run_id=OLD)
    store = RunStore(folder / "results")
    writer = store.resume(OLD)
    for threads in range(1, 400):
        writer.append(msgspec.structs.replace(many, case=case(threads=threads)))
    line = f"'{sys.executable}' -c 'from harness.cli import main; main()' export {OLD} | head -1"
    done = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("device,")
    assert "Traceback" not in done.stderr
