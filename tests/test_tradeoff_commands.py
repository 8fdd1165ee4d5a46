"""`pocketbench tradeoff` and `recommend` on stored runs, as a user types them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import report_samples
from samples import case, measurement, run_info

from harness.cli.arguments import DEFAULT_ZOO
from harness.cli.recommend import convert_command
from harness.results import RunStore
from harness.spec import OutputParity, Verdict
from harness.tradeoff import trade_offs

PROJECT = Path(__file__).parent.parent
OLD, NEW, OTHER = "20261121-020000-aaaaaaaaaa", "20261122-020000-bbbbbbbbbb", "20261123-020000-cccccccccc"


def pocketbench(*arguments, cwd):
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def measured(runtime, version, precision, ms, *, mib, error, run_id=NEW, **changes):
    one = measurement(
        run_id=run_id,
        centre_ms=ms,
        launches=3,
        case=case(runtime=runtime, runtime_version=version, precision=precision),
    )
    artifact = report_samples.measurement(case(), count=0).artifact
    sized = msgspec.structs.replace(artifact, key=f"{runtime}-{precision}", size_bytes=int(mib * 2**20))
    output = OutputParity(name="out", ok=True, max_rel=error, cosine=0.9999)
    judged = msgspec.structs.replace(one.parity, outputs=(output,))
    return msgspec.structs.replace(one, **{"artifact": sized, "parity": judged, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs: an old one, one of every runtime and precision, and a newer one of another model."""
    root = tmp_path_factory.mktemp("tradeoff")
    store = RunStore(root / "results")
    unsupported = {
        "status": "unsupported",
        "reason": "x2paddle has no LSTM",
        "launches": (),
        "latency": None,
        "parity": None,
        "artifact": None,
        "verdict": Verdict(kind="unsupported"),
    }
    runs = {
        OLD: [measured("mnn", "3.6.1", "fp32", 99.0, mib=4.5, error=1e-6, run_id=OLD)],
        NEW: [
            measured("ncnn", "1.0", "fp32", 26.0, mib=4.4, error=3e-5),
            measured("ncnn", "1.0", "fp16", 18.0, mib=2.2, error=4e-3),
            measured("mnn", "3.6.1", "fp16", 18.2, mib=2.3, error=5e-3),
            measured("mnn", "3.6.1", "fp32", 30.0, mib=4.5, error=4e-5),
            measured("paddlelite", "2.13", "fp32", 1.0, mib=1.0, error=0.0, **unsupported),
            measured("ncnn", "1.0", "fp32", 900.0, mib=4.4, error=3e-5, device="phone-qemu", emulated=True),
        ],
        OTHER: [
            msgspec.structs.replace(measurement(run_id=OTHER), case=case(model="mobilenet_v3")),
        ],
    }
    for run_id, measurements in runs.items():
        writer = store.start(run_info(run_id=run_id))
        for one in measurements:
            writer.append(one)
        writer.finish()
    return root


def test_the_trade_off_comes_from_the_newest_run_that_measured_the_model_fastest_first(folder):
    done = pocketbench("tradeoff", "ppocr_det", "--device", "local", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"ppocr_det on local, 1 thread  run {NEW}"
    rows = [line.split() for line in lines[3:7]]
    assert [tuple(row[:3]) for row in rows] == [
        ("ncnn@1.0", "fp16", "18.0"),
        ("mnn@3.6.1", "fp16", "18.2"),
        ("ncnn@1.0", "fp32", "26.0"),
        ("mnn@3.6.1", "fp32", "30.0"),
    ]
    assert [lines[n].rstrip().rpartition("  ")[2] for n in (3, 4, 5)] == ["fastest", "tie", "front"]
    assert "paddlelite@2.13 fp32, 1 thread: unsupported: x2paddle has no LSTM" in done.stdout


def test_a_narrow_terminal_keeps_every_row_on_its_line(folder, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    printed = pocketbench("tradeoff", "ppocr_det", "--device", "local", cwd=folder).stdout
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in printed.splitlines()]
    assert [line.split()[0] for line in plain[3:7]] == ["ncnn@1.0", "mnn@3.6.1", "ncnn@1.0", "mnn@3.6.1"]
    assert max(map(len, plain[1:7])) <= 80
    assert "interval" not in plain[2]


def test_every_device_is_shown_and_an_emulated_one_is_marked(folder):
    printed = pocketbench("tradeoff", "ppocr_det", cwd=folder).stdout
    assert "ppocr_det on phone-qemu" in printed
    emulated = printed[printed.index("phone-qemu") :]
    assert "emulated: its times are no device's" in emulated
    assert "fastest" not in emulated.partition("\n\n")[0]


@pytest.mark.parametrize("run", [OLD, f"results/{OLD}/measurements.jsonl"])
def test_a_run_is_named_by_its_id_or_its_file(folder, run):
    assert "99.0" in pocketbench("tradeoff", "ppocr_det", "--run", run, cwd=folder).stdout


def test_the_fastest_within_the_limits_is_recommended_with_its_command_and_its_doubt(folder):
    done = pocketbench(
        "recommend", "ppocr_det", "--device", "local", "--max-error", "0.01", "--max-mb", "3", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ncnn@1.0 fp16, 1 thread  for ppocr_det on local")
    assert "pocketbench convert ppocr_det --runtime ncnn@1.0 --precision fp16" in done.stdout
    assert "cannot be told apart from mnn@3.6.1 fp16, 1 thread (18.2 ms" in done.stdout
    assert "--runtime=ncnn@1.0,mnn@3.6.1 --precision=fp16 --threads=1 --effort=nightly" in done.stdout


def test_a_clear_winner_is_told_by_how_much(folder):
    printed = pocketbench("recommend", "ppocr_det", "--max-error", "0.001", cwd=folder).stdout
    assert printed.startswith("ncnn@1.0 fp32")
    assert "the next, mnn@3.6.1 fp32, 1 thread, is slower by 15 %: their intervals do not overlap" in printed


def test_json_holds_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("POCKETBENCH_CACHE", str(tmp_path))
    (tmp_path / "artifacts" / "ncnn-fp16").mkdir(parents=True)
    done = pocketbench("recommend", "ppocr_det", "--max-mb", "3", "--json", cwd=folder)
    told = json.loads(done.stdout)
    assert told["recommended"]["precision"] == "fp16"
    assert told["recommended"]["artifact"] == str(tmp_path / "artifacts" / "ncnn-fp16")
    assert told["recommended"]["latency_ms"] == 18.0
    assert [rival["runtime"] for rival in told["not_told_apart"]] == ["mnn"]
    assert told["not_told_apart"][0]["artifact"] is None
    assert (told["run_id"], told["limits"]["max_size_mib"]) == (NEW, 3.0)


def test_nothing_within_the_limits_names_the_nearest_and_the_limit(folder):
    done = pocketbench(
        "recommend", "ppocr_det", "--max-error", "0.001", "--max-mb", "4", "--max-memory-mb", "95", cwd=folder
    )
    assert done.returncode == 1
    assert "nothing within the limits for ppocr_det on local" in done.stdout
    assert "nearest: ncnn@1.0 fp32, 1 thread, 26.0 ms" in done.stdout
    assert "artifact 4.40 MiB is over --max-mb 4" in done.stdout
    assert "--max-error rules out 2 of the 4 that are right" in done.stdout
    assert "--max-memory-mb" not in done.stdout
    told = pocketbench("recommend", "ppocr_det", "--max-mb", "1", "--json", cwd=folder)
    assert told.returncode == 1
    assert json.loads(told.stdout)["recommended"] is None


def test_a_newer_run_of_a_part_is_told_to_be_one_and_which_run_has_more(folder, tmp_path):
    shutil.copytree(folder / "results", tmp_path / "results")
    part = "20261124-020000-dddddddddd"
    writer = RunStore(tmp_path / "results").start(run_info(run_id=part))
    writer.append(measured("mnn", "3.7.0", "fp32", 31.0, mib=4.5, error=4e-5, run_id=part))
    writer.finish()
    printed = pocketbench("recommend", "ppocr_det", cwd=tmp_path).stdout
    assert printed.startswith("mnn@3.7.0 fp32")
    assert "this run did not measure ncnn@1.0 fp16, 1 thread (18.0 ms" in printed
    assert f"and 2 more: add --run {NEW}" in printed
    told = json.loads(pocketbench("recommend", "ppocr_det", "--json", cwd=tmp_path).stdout)
    assert told["wider_run_id"] == NEW
    meant = pocketbench("recommend", "ppocr_det", "--run", part, cwd=tmp_path).stdout
    assert "beware" not in meant


def test_a_newer_run_of_all_is_no_part(folder):
    assert "beware" not in pocketbench("recommend", "ppocr_det", cwd=folder).stdout


def test_an_emulated_device_is_never_recommended_on(folder):
    done = pocketbench("recommend", "ppocr_det", "--device", "phone-qemu", cwd=folder)
    assert done.returncode == 1
    assert "it is emulated, and its times are no device's" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("recommend", "ppocr_det", "--device", "pixel7"),
            "on pixel7 yet (it was on local, phone-qemu). Measure it: pytest suites/ --device=pixel7",
        ),
        (("recommend", "ppocr_dte"), "Did you mean ppocr_det?"),
        (
            ("tradeoff", "ppocr_det", "--run", "last"),
            "was not measured in last yet (other runs have it on local",
        ),
        (("tradeoff", "ppocr_det", "--run", "nope"), "no run 'nope'"),
        (("tradeoff", "ppocr_det", "--run", "nowhere.jsonl"), "cannot read nowhere.jsonl"),
    ],
)
def test_what_was_not_measured_is_told_with_the_command_that_measures_it(folder, arguments, told):
    done = pocketbench(*arguments, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_model_of_the_zoo_that_no_run_measured_is_no_wrong_name(folder):
    zoo = str(PROJECT / "suites" / "zoo.toml")
    done = pocketbench("recommend", "silero_vad", "--zoo", zoo, cwd=folder)
    assert done.returncode == 2
    assert f"pytest suites/ --device=local --model=silero_vad --zoo={zoo}" in done.stderr


@pytest.mark.parametrize(
    ("runtime", "backend", "told"),
    [
        ("ncnn", "vulkan", "--backend vulkan"),
        ("ncnn", "cpu", "--precision fp32"),
        ("paddlelite", "mobile", None),
    ],
)
def test_the_command_that_makes_it_again_names_the_backend_unless_it_would_be_for_this_processor(
    runtime, backend, told
):
    one = measured(runtime, "1.0", "fp32", 1.0, mib=1.0, error=0.0)
    moved = msgspec.structs.replace(one, case=msgspec.structs.replace(one.case, backend=backend))
    (choice,) = trade_offs([moved])[0].choices
    command = convert_command(choice, DEFAULT_ZOO)
    assert command is None if told is None else command.endswith(told)
