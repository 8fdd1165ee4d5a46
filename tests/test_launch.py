"""Launches of real runner processes that die, hang, lie or babble; whatever they do is a result."""

import json
import os
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import samples

from devices.base import DeviceError
from devices.local import LocalDevice
from harness.bundles import wheel_bundle
from harness.cache import Cache
from harness.launch import Files, Staged, launch, runner_tree, stage
from harness.runtimes import RUNTIMES
from harness.spec import SCHEMA, Job, RunnerResult, TensorSpec

GOOD = msgspec.json.encode(samples.launch().result).decode()

STAGE = "open('stage', 'w').write({!r})\n"
WRITE = "open('result.json', 'w').write({!r})\n"
BABBLE = """
import os
for descriptor in (1, 2):
    for _ in range(80):
        left = b'\\xff\\x00garbage\\n' * 6554
        while left:
            left = left[os.write(descriptor, left):]
"""
DIES = """
import os, signal, sys
sys.stderr.write('kernel Conv_7 has no weights\\n')
sys.stderr.flush()
os.kill(os.getpid(), signal.{})
"""
SEGFAULTS = """
import ctypes, sys
sys.stderr.write('about to read address 0\\n')
sys.stderr.flush()
ctypes.string_at(0)
"""
HANGS = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
with open(sys.argv[1] + '/' + str(os.getpid()), 'w'):
    pass
print('still here', file=sys.stderr, flush=True)
time.sleep(300)
"""
KEEPS_THE_JOB = """
import shutil, sys
shutil.copy('job.json', sys.argv[1])
"""


@pytest.fixture(autouse=True)
def private_directories(tmp_path, monkeypatch):
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))


@pytest.fixture
def device(tmp_path):
    with LocalDevice("bench", str(tmp_path / "work dir"), exclusive=False) as opened:
        yield opened
        assert list(Path(opened.workdir, "launches").iterdir()) == [], "a launch left its folder behind"


@pytest.fixture(scope="module")
def bundle():
    runtime = RUNTIMES["onnxruntime"]
    return wheel_bundle(Cache(), runtime, runtime.default_version)


def job(**changes):
    given = {
        "runtime": "onnxruntime",
        "backend": "cpu",
        "precision": "fp32",
        "threads": 1,
        "files": {},
        "inputs": (),
        "outputs": (),
    }
    return Job(**{**given, **changes})


def runner(code, *arguments):
    """A stand-in for the runner: it is called as the real one is, with job.json last."""
    command = (sys.executable, "-c", code, *map(str, arguments))
    return Staged(command=command, environment={}, files={}, inputs=())


def launched(device, code, *arguments, **options):
    return launch(device, runner(code, *arguments), job(), **options)


def test_a_good_result_is_measured_and_whole(device):
    done = launched(device, WRITE.format(GOOD), index=4)
    assert (done.status, done.reason, done.index, done.exit_code) == ("measured", "", 4, 0)
    assert done.result == msgspec.json.decode(GOOD, type=RunnerResult)
    assert done.wall_s > 0


def test_the_job_that_arrives_is_the_job_that_was_given(device, tmp_path):
    given = job(outputs=(TensorSpec(name="prob", shape=(1, 2)),), options={"names": {"a": "b"}})
    launch(device, runner(KEEPS_THE_JOB, tmp_path / "kept.json"), given)
    kept = (tmp_path / "kept.json").read_bytes()
    assert msgspec.json.decode(kept, type=Job) == given
    assert json.loads(kept)["schema"] == SCHEMA


@pytest.mark.parametrize("name", ["import", "load", "first", "warmup", "timing", "outputs"])
def test_a_segmentation_fault_is_a_crash_in_the_stage_it_happened_in(device, name):
    done = launched(device, STAGE.format(name) + SEGFAULTS)
    assert (done.status, done.signal, done.stage) == ("crashed", "SIGSEGV", name)
    assert done.exit_code == 128 + 11
    assert done.reason.startswith(f"SIGSEGV during {name}")
    assert "about to read address 0" in done.stderr_tail
    assert done.result is None


def test_an_abort_is_a_crash_with_the_last_words_in_its_reason(device):
    done = launched(device, STAGE.format("first") + DIES.format("SIGABRT"))
    assert (done.status, done.signal) == ("crashed", "SIGABRT")
    assert done.reason == "SIGABRT during first. kernel Conv_7 has no weights"


def test_a_crash_after_the_result_was_written_is_still_a_crash(device):
    done = launched(device, WRITE.format(GOOD) + STAGE.format("outputs") + DIES.format("SIGSEGV"))
    assert (done.status, done.result) == ("crashed", None)


def test_a_kill_without_words_or_stage_is_told_as_such(device):
    done = launched(device, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (done.status, done.signal, done.stage) == ("crashed", "SIGKILL", None)
    assert "it printed nothing" in done.reason


def test_a_hang_ends_with_its_children_and_tells_where_it_hung(device, tmp_path):
    pids = tmp_path / "pids"
    pids.mkdir()
    done = launched(device, STAGE.format("warmup") + HANGS, pids, timeout_s=2)
    assert (done.status, done.stage) == ("timeout", "warmup")
    assert "within 2 s" in done.reason
    assert "still here" in done.stderr_tail
    started = [path.name for path in pids.iterdir()]
    assert len(started) == 2, "both the runner and its child ran"
    assert not [pid for pid in started if Path("/proc", pid).exists()]


def test_five_megabytes_of_garbage_on_both_streams_do_not_harm_a_good_result(device):
    done = launched(device, BABBLE + WRITE.format(GOOD))
    assert (done.status, done.stderr_tail) == ("measured", "")
    assert done.result is not None


def test_of_five_megabytes_before_a_crash_the_end_is_kept(device):
    done = launched(device, BABBLE + DIES.format("SIGABRT"))
    assert done.stderr_tail.endswith("kernel Conv_7 has no weights\n")
    assert len(done.stderr_tail) < 5000


def test_a_runner_that_ends_well_without_a_result_failed(device):
    done = launched(device, STAGE.format("timing") + "print('all is well')")
    assert (done.status, done.exit_code) == ("failed", 0)
    assert done.reason == "the runner ended well without writing result.json"
    assert done.stage == "timing"
    assert "all is well" in done.stderr_tail


@pytest.mark.parametrize(
    "written",
    [GOOD[: len(GOOD) // 2], "", "null", "[]", '"\ud800"', GOOD.replace('"load_s":', '"load":')],
    ids=["half", "empty", "null", "list", "no text", "unknown field"],
)
def test_a_result_that_cannot_be_read_is_refused(device, written):
    code = f"open('result.json', 'wb').write({written.encode(errors='surrogatepass')!r})"
    done = launched(device, code)
    assert (done.status, done.result) == ("failed", None)
    assert done.reason.startswith("the runner wrote a result that cannot be read: ")


@pytest.mark.parametrize("schema", [0, 2, 99])
def test_a_result_of_another_schema_is_refused_as_such(device, schema):
    of_another_time = GOOD.replace('"schema":1', f'"schema":{schema},"cores_parked":[1]')
    done = launched(device, WRITE.format(of_another_time))
    assert (done.status, done.result) == ("failed", None)
    assert f"it has schema {schema}, this pocketbench reads {SCHEMA}" in done.reason


def test_a_refusal_is_told_in_the_runners_words(device):
    code = "import sys; print('loading', file=sys.stderr); sys.stderr.write('runner: no such blob in7\\n'); "
    done = launched(device, code + "print('bye', file=sys.stderr); sys.exit(3)")
    assert (done.status, done.exit_code, done.reason) == ("failed", 3, "no such blob in7")


def test_a_traceback_is_told_by_the_line_that_names_the_error(device):
    done = launched(device, "raise ValueError('shape [1, 3] is not [1, 4]')")
    assert (done.status, done.exit_code) == ("failed", 1)
    assert done.reason == "exit code 1: ValueError: shape [1, 3] is not [1, 4]"
    assert "Traceback" in done.stderr_tail


def test_outputs_that_were_announced_and_never_written_are_a_failure(device, tmp_path):
    done = launched(device, WRITE.format(GOOD), outputs=tmp_path / "outputs")
    assert (done.status, done.result) == ("failed", None)
    assert "outputs" in done.reason


def test_a_program_that_is_not_there_is_the_devices_fault_not_a_result(device):
    staged = Staged(command=("no-such-python",), environment={}, files={}, inputs=())
    with pytest.raises(DeviceError, match="no-such-python"):
        launch(device, staged, job())


def real(device, bundle, artifact, feed):
    runtime = RUNTIMES["onnxruntime"]
    return stage(
        device,
        runner=runner_tree(Cache()),
        bundle=bundle,
        artifact=Files(path=artifact, digest="unused", names={"onnx": "model.onnx"}),
        feed=Files(path=feed, digest="unused", names={"0": "0.npy"}),
        inputs=(TensorSpec(name="x", shape=(1, 4)),),
        environment=runtime.variables(1),
    )


@pytest.mark.parametrize("content", [b"", b"not a protobuf " * 99, os.urandom(4096)])
def test_the_real_runner_refuses_a_corrupt_artifact_with_a_reason(device, bundle, tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    np.save(tmp_path / "0.npy", np.zeros((1, 4), "float32"))
    staged = real(device, bundle, tmp_path, tmp_path)
    done = launch(device, staged, job(files=staged.files, inputs=staged.inputs))
    assert (done.status, done.exit_code, done.stage) == ("failed", 3, "load")
    assert done.reason.startswith("onnxruntime cannot load the model: ")
