"""What pytest sessions do for their users, also when something goes wrong."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from projects import BENCH, WARMS_UP_S, Project, private_environment

from harness.interpreters import find_python

QUICK = ("--precision", "fp32", "--effort", "quick")
ONE_MODEL = ("--model", "ppocr_cls", "--runtime", "onnxruntime,ncnn", *QUICK)
ONE_CASE = ("--model", "ppocr_cls", "--runtime", "onnxruntime", *QUICK)

# Fills the results' disk to the brim once the first case has been measured.
FILLS_THE_DISK = """
import contextlib

def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed:
        with contextlib.suppress(OSError), open("results/filler", "ab", buffering=0) as stream:
            while stream.write(b"x" * 512):
                pass
"""


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, private_environment(tmp_path))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """One good session that several tests look at."""
    folder = tmp_path_factory.mktemp("measured")
    project = Project(folder, private_environment(folder))
    wanted = ("--benchmark-json", "samples.json", "--report-html", "morning.html", "--seed", "7", "-v")
    return project.pytest(*ONE_MODEL, *wanted)


def until(condition, process, what, within_s=WARMS_UP_S):
    deadline = time.monotonic() + within_s
    while not condition():
        assert process.poll() is None, f"the session ended before {what}: {process.communicate()[0]}"
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


def test_a_good_session_measures_each_case_once_and_tells_it_beside_the_outcome(measured):
    assert (measured.exit_code, measured.outcomes) == (0, {"passed": 6}), measured.printed
    assert {m.case.runtime for m in measured.measurements} == {"onnxruntime", "ncnn"}
    assert len(measured.measurements) == 2
    assert all(m.status == "measured" and m.parity.ok and m.seed == 7 for m in measured.measurements)
    assert re.search(r"test_latency\[bench-ppocr_cls-ncnn-fp32-t1\] PASSED  [\d.]+ ms", measured.printed)
    assert re.search(r"test_memory\[bench-ppocr_cls-ncnn-fp32-t1\] PASSED  \d+ MiB", measured.printed)


def test_the_report_is_in_the_run_and_where_it_was_asked_for(measured):
    report = (measured.run / "report.html").read_text()
    assert report == (measured.results.parent / "morning.html").read_text()
    assert "ppocr_cls" in report
    assert "report: morning.html" in measured.printed


def test_pytest_benchmark_gets_exactly_the_devices_samples(measured):
    told = json.loads((measured.results.parent / "samples.json").read_text())
    by_engine = {b["extra_info"]["runtime"]: b["stats"] for b in told["benchmarks"]}
    assert len(by_engine) == 2
    for measurement in measured.measurements:
        samples = [ns / 1e9 for result in measurement.results for ns in result.samples_ns]
        stats = by_engine[measurement.case.engine]
        assert stats["rounds"] == len(samples)
        assert sorted(stats["data"]) == pytest.approx(sorted(samples), rel=1e-6)
        assert stats["min"] == pytest.approx(min(samples), rel=1e-6)


def test_a_second_session_builds_nothing_and_compares_with_the_first(measured, project):
    shutil.copytree(measured.results, project.results)
    again = project.pytest(*ONE_MODEL)
    assert (again.exit_code, again.outcomes) == (0, {"passed": 6}), again.printed
    assert "preparing: 2 cases ready, 0 things built anew" in again.printed
    assert len(list(project.results.glob("*/run.json"))) == 2
    assert not re.search(r"\d new\b", again.printed), "each has the first as its baseline"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "nope"), r"unknown model 'nope'\. Known: .*ppocr_cls, ppocr_det, ppocr_rec"),
        (("--model", "ppocr_clss"), r"unknown model 'ppocr_clss'\. Did you mean ppocr_cls"),
        (("--device", "bensh"), r"unknown device 'bensh'\..*bench"),
        (("--runtime", "ncm"), r"unknown runtime 'ncm'\. Did you mean ncnn"),
        (("--runtime", "ncnn@"), r"'ncnn@' has an @ and no version"),
        (("--precision", "fp61"), r"unknown precision 'fp61'\. Did you mean fp16"),
        (("--backend", "mobil"), r"unknown backend 'mobil'\. Did you mean mobile"),
        (("--effort", "quik"), r"unknown effort 'quik'\. Did you mean quick"),
        (("--threads", "0"), r"--threads takes whole numbers from 1 on, not '0'"),
        (("--threads", "two"), r"--threads takes whole numbers from 1 on, not 'two'"),
        (("--model", ","), r"--model names nothing: ','"),
        (("--zoo", "elsewhere.toml"), r"no zoo at elsewhere\.toml: name one with --zoo"),
        (("--resume", "last"), r"no runs in .*results yet"),
        (("--model", "nope", "-n", "2"), r"unknown model 'nope'"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_what_is_right(project, arguments, told):
    session = project.pytest(*arguments)
    assert session.exit_code == pytest.ExitCode.USAGE_ERROR
    assert re.search(f"^ERROR: .*{told}", session.printed, re.MULTILINE), session.printed
    assert "Traceback" not in session.printed
    assert not list(project.results.glob("*/run.json")), "nothing was begun"


def test_a_wrong_key_in_the_zoo_is_told_with_file_line_key_and_the_nearest(project):
    text = project.zoo.read_text()
    line = text[: text.index("[models.ppocr_cls]")].count("\n") + 1
    project.zoo.write_text(text.replace('task = "classifier"', 'tasc = "classifier"'))
    session = project.pytest(*ONE_CASE)
    assert session.exit_code == pytest.ExitCode.USAGE_ERROR
    assert f"suites/zoo.toml:{line} [models.ppocr_cls]" in session.printed
    assert "unknown key 'tasc'" in session.printed
    assert "Did you mean task" in session.printed


def test_no_zoo_is_told_in_a_sentence(project):
    project.zoo.unlink()
    session = project.pytest()
    assert session.exit_code != 0
    assert "there is no zoo at" in session.printed
    assert "--zoo" in session.printed
    assert "Traceback" not in session.printed


def test_a_zoo_in_which_every_model_must_be_named_is_told(project):
    text = project.zoo.read_text().replace("default = false\n", "")
    project.zoo.write_text(text.replace("\nfeed = ", "\ndefault = false\nfeed = "))
    session = project.pytest(*QUICK)
    assert session.exit_code == pytest.ExitCode.USAGE_ERROR
    assert "nothing to measure" in session.printed
    assert "name one with --model" in session.printed


def test_a_keyword_that_matches_no_test_is_not_a_green_run(project):
    session = project.pytest(*ONE_CASE, "-k", "nothing_is_called_this")
    assert session.exit_code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert not list(project.results.glob("*/run.json"))


def test_a_corrupt_model_is_refused_with_one_reason_and_the_others_are_measured(project):
    corrupt = b"\xff\x00 no model " * 500
    (project.root / "suites" / "corrupt.onnx").write_bytes(corrupt)
    with project.zoo.open("a") as zoo:
        zoo.write(
            '\n[models.corrupt]\nsource = "file:corrupt.onnx"\nfeed = "text_line"\n'
            f'sha256 = "{hashlib.sha256(corrupt).hexdigest()}"\n'
            'inputs = [{ name = "x", shape = [1, 3, 48, 192] }]\n'
        )
    session = project.pytest("--model", "ppocr_cls,corrupt", "--runtime", "onnxruntime,ncnn", *QUICK)
    assert (session.exit_code, session.outcomes) == (1, {"passed": 6, "error": 6}), session.printed
    good, refused = (
        [m for m in session.measurements if m.case.model == name] for name in ("ppocr_cls", "corrupt")
    )
    assert [m.status for m in good] == ["measured"] * 2
    assert [m.status for m in refused] == ["unsupported"] * 2
    (reason,) = {m.reason for m in refused}
    assert reason.startswith("model corrupt (file:corrupt.onnx): ")
    assert "not a readable ONNX model" in reason
    assert all((session.run / m.log).read_text().startswith(reason) for m in refused)
    assert "2 unsupported, 2 new" in session.printed


def test_a_model_that_is_another_file_than_its_hash_says_fails_and_is_not_skipped(project):
    swapped = re.sub(r'"pypi:.*_cls_infer.onnx"', '"file:swapped.onnx"', project.zoo.read_text())
    project.zoo.write_text(swapped)
    (project.root / "suites" / "swapped.onnx").write_bytes(b"another model")
    session = project.pytest(*ONE_CASE)
    assert (session.exit_code, session.outcomes) == (1, {"error": 3}), session.printed
    assert [(m.status, m.not_applicable) for m in session.measurements] == [("failed", False)]
    assert "is not the file it should be" in session.printed


def test_a_runtime_whose_python_is_missing_is_skipped_with_the_reason_and_others_are_measured(project):
    nothing = {}
    for variable in ("PATH", "HOME", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR"):
        (project.root / variable.lower()).mkdir()
        nothing[variable] = str(project.root / variable.lower())
    (project.root / "path" / "python3.11").symlink_to(find_python("3.11"))
    if "UV_CACHE_DIR" not in os.environ:
        nothing["UV_CACHE_DIR"] = str(Path.home() / ".cache" / "uv")
    session = project.pytest(
        "--model", "ppocr_cls", "--runtime", "onnxruntime,paddlelite", *QUICK, "-rs", **nothing
    )
    assert (session.exit_code, session.outcomes) == (0, {"passed": 3, "skipped": 3}), session.printed
    by_runtime = {m.case.runtime: m for m in session.measurements}
    assert by_runtime["onnxruntime"].status == "measured"
    assert (by_runtime["paddlelite"].status, by_runtime["paddlelite"].not_applicable) == ("unsupported", True)
    assert by_runtime["paddlelite"].reason.startswith("no Python 3.10 on this machine")
    assert "no Python 3.10 on this machine" in session.printed


def test_a_case_that_is_known_to_fail_and_works_fails_loudly(project):
    (project.root / "suites" / "expectations.toml").write_text(
        '[[known]]\nmodel = "ppocr_cls"\nruntime = "onnxruntime"\nprecision = "fp32"\nexpect = "parity"\n'
        'reason = "said to overflow"\nevidence = "hearsay"\n'
    )
    session = project.pytest(*ONE_CASE)
    assert (session.exit_code, session.outcomes) == (1, {"failed": 1, "passed": 2}), session.printed
    assert re.search(r"FAILED suites/test_parity\.py.*XPASS\(strict\).*said to overflow", session.printed)


def test_an_interrupted_session_keeps_what_it_has_and_is_resumed_with_what_it_lacks(project):
    process = project.start(*ONE_MODEL)
    until(project.stored, process, "a case was measured")
    until(project.processes, process, "the next launch ran")
    os.kill(process.pid, signal.SIGINT)
    interrupted = project.ended(process)
    assert interrupted.exit_code == pytest.ExitCode.INTERRUPTED, interrupted.printed
    assert project.processes() == []
    assert list((project.root / "work" / "launches").iterdir()) == []
    (kept,) = interrupted.measurements
    assert kept.status == "measured"
    assert "ppocr_cls" in (interrupted.run / "report.html").read_text()
    assert "1 of 2 planned cases were not measured" in interrupted.printed
    assert f"--resume {interrupted.run.name} goes on from here" in interrupted.printed

    resumed = project.pytest(*ONE_MODEL, "--resume", "last")
    assert (resumed.exit_code, resumed.outcomes) == (0, {"passed": 6}), resumed.printed
    assert resumed.run == interrupted.run
    first, second = resumed.measurements
    assert first == kept, "what was measured is not measured again"
    assert second.case != kept.case


def test_a_parallel_session_is_one_run_that_measures_each_case_once(project):
    session = project.pytest(*ONE_MODEL, "-n", "2", "-v")
    assert (session.exit_code, session.outcomes) == (0, {"passed": 6}), session.printed
    assert len(session.measurements) == 2
    workers = set(re.findall(r"\[(gw\d)\]", session.printed))
    assert len(workers) == 1, "one device, one worker"
    assert "ppocr_cls" in (session.run / "report.html").read_text()
    assert "note: pytest-benchmark rests" in session.printed


def test_two_devices_are_measured_by_two_workers_into_one_run(project):
    # Another name for this machine, with the first in it: the second waits for the first to let go of it.
    twin = "Müller's-bench"
    (project.root / f"{twin}.toml").write_text(BENCH.format(project.root / "twin"))
    session = project.pytest(*ONE_CASE, "--device", twin, "-n", "2", "-v", "-k", "memory")
    assert (session.exit_code, session.outcomes) == (0, {"passed": 2}), session.printed
    assert {m.device for m in session.measurements} == {"bench", twin}
    assert len(set(re.findall(r"\[(gw\d)\]", session.printed))) == 2


@pytest.fixture
def small_results(project):
    project.results.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", project.results],
        check=False,
        capture_output=True,
    )
    if tried.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted: {tried.stderr.decode().strip()}")
    yield project
    subprocess.run(["umount", project.results], check=True)


def test_a_disk_that_fills_up_ends_the_session_with_one_message_and_keeps_what_was_measured(small_results):
    project = small_results
    (project.root / "conftest.py").write_text(FILLS_THE_DISK)
    session = project.pytest(*ONE_MODEL, "--history", f"sqlite:///{project.root}/history.sqlite")
    assert session.exit_code == pytest.ExitCode.TESTS_FAILED, session.printed
    assert [m.status for m in session.measurements] == ["measured"]
    assert session.printed.count("no space left for the results") == 1, session.printed
    message = re.search("no space left for the results.*", session.printed)[0]
    assert re.search(r"[\d.]+ KiB needed, [\d.]+ KiB free", message)
    assert "the 1 measurement before it is kept" in message
    assert "--resume" in message
    assert "Traceback" not in session.printed
    assert "INTERNALERROR" not in session.printed


def test_a_disk_without_any_room_is_told_before_anything_is_measured(small_results):
    project = small_results
    (project.results / "filler").write_bytes(b"x" * 256 * 1024)
    session = project.pytest(*ONE_CASE)
    assert session.exit_code == pytest.ExitCode.USAGE_ERROR, session.printed
    assert re.search(
        r"^ERROR: cannot make the results directory .*No space left", session.printed, re.MULTILINE
    )
    assert "Traceback" not in session.printed


def test_another_version_is_alternated_on_the_device_and_gives_the_verdict(project):
    session = project.pytest(*ONE_CASE, "--against", "onnxruntime@1.30.0", "-v")
    assert session.exit_code in {0, 1}, session.printed
    (done,) = session.measurements
    assert done.against.engine == "onnxruntime@1.30.0"
    assert not done.against.reason
    assert len(done.against.pairs) == 2
    assert all(pair.candidate_ns and pair.against_ns for pair in done.against.pairs)
    assert done.verdict.kind in {"ok", "regressed", "improved", "inconclusive"}
    assert "against onnxruntime@1.30.0" in done.verdict.reason
    assert re.search(
        r"[+-]\d+\.\d % against onnxruntime@1\.30\.0|no slower than onnxruntime", session.printed
    )


@pytest.mark.parametrize(
    ("against", "told"),
    [
        ("ncnn@1.0.20260526", "meets no case of another version of ncnn"),
        ("onnxruntime", "lacks a version"),
        ("onnxruntim@1.30.0", "Did you mean onnxruntime?"),
    ],
)
def test_what_cannot_be_alternated_is_told_before_anything_is_measured(project, against, told):
    session = project.pytest(*ONE_CASE, "--against", against)
    assert session.exit_code == 4
    assert told in session.printed
    assert not list(session.results.glob("*"))
