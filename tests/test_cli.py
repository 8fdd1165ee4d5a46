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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--calibration-method", "kll"), "unknown calibration method 'kll'. Did you mean kl"),
        (("--calibration-count", "0"), "calibration takes 1 to 1000 samples, not 0"),
        (
            ("--calibration-count", "4", "--precision", "fp16,w8"),
            "are for int8, and asked for is fp16",
        ),
    ],
)
@pytest.mark.parametrize("command", ["convert", "parity"])
def test_calibration_that_makes_no_sense_is_told_once_before_anything_is_converted(command, options, told):
    cell = (command, "ppocr_cls", "--runtime", "mnn")
    if command == "parity":
        options = tuple(one.replace("fp16,w8", "fp16") for one in options)
        cell += () if "--precision" in options else ("--precision", "int8")
    done = pocketbench(*cell, *options, cwd=PROJECT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_files_that_the_zoo_supplies_are_not_converted_and_that_is_no_failure(tmp_path):
    table = 'inputs = [{ name = "x", shape = [1, 4] }]\nfeed = "stand_in"\n[models.net.artifacts]\n'
    file = f'{{ source = "file:net.mnn", sha256 = "{"0" * 64}" }}'
    (tmp_path / "zoo.toml").write_text(f"[models.net]\n{table}mnn = {file}\n")
    command = ("convert", "net", "--zoo", "zoo.toml")
    done = pocketbench(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "mnn@3.6.1 fp32  nothing to convert: the zoo supplies this file, which is measured as it is\n"
    )
    done = pocketbench(*command, "--runtime", "ncnn", cwd=tmp_path)
    assert done.returncode == 1
    assert "net has no artifact for ncnn fp32 (cpu) and no source to convert one from" in done.stdout


def test_options_of_a_conversion_can_be_tried_out_and_are_told():
    cell = ("convert", "ppocr_cls", "--runtime", "mnn", "--precision", "w8")
    done = pocketbench(*cell, "--option", "block=64", cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mnn@3.6.1 w8 block=64  ")
    done = pocketbench(*cell, "--option", "blok=64", cwd=PROJECT)
    assert done.returncode == 1
    assert "unknown key 'blok' in --option mnn w8. Did you mean block?" in done.stdout


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


@pytest.mark.parametrize("command", ["export", "report"])
def test_a_file_that_cannot_be_written_is_one_line_and_exit_code_2(folder, command):
    (folder / "taken").write_text("a file, no folder")
    done = pocketbench(command, "last", "--output", "taken/out", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("pocketbench: cannot write taken/out (")
    assert "--output" in done.stderr
    assert done.stderr.count("\n") == 1


def test_convert_takes_a_backend_and_tells_the_nearest_to_a_wrong_one():
    done = pocketbench("convert", "ppocr_cls", "--runtime", "ncnn", "--backend", "vulcan", cwd=PROJECT)
    assert done.returncode == 2
    assert "unknown backend 'vulcan'. Did you mean vulkan?" in done.stderr
