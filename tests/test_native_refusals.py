"""What the static ncnn runner refuses, and that it says why."""

import subprocess
from pathlib import Path

import msgspec
import pytest
from peers.native_runners import arms, tiny

from harness.launch import launch
from harness.spec import TensorSpec

pytest_plugins = ["peers.native_fixtures"]


def test_a_serving_runner_refuses_what_is_no_question(native, tmp_path):
    arm = tiny(native, tmp_path)
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(arm.job))
    command = [*arm.staged.command, "job.json", "--serve"]
    done = subprocess.run(command, cwd=tmp_path, input="{}\n", capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert 'runner: a question is not {"iterations": n}' in done.stderr


@pytest.mark.parametrize(
    ("changes", "stage", "told"),
    [
        ({"schema": 2}, None, "job.json has schema 2, this runner knows 1"),
        ({"runtime": "mnn"}, None, "this runner has no backend for runtime 'mnn', it has: ncnn"),
        ({"backend": "gpu"}, None, "this runner computes on the cpu, the job asks for 'gpu'"),
        ({"backend": "vulkan"}, "load", "ncnn is built without Vulkan; docs/android.md says how"),
        ({"options": {"batch_axes": [1]}}, None, "of shape (1, 2, 3, 4) has no batch axis 1 of size one"),
        ({"files": {"param": "nowhere.param", "bin": "x"}}, "load", "cannot load the param file (code -1)"),
        ({"files": {"bin": "x"}}, "load", "the job names no param file"),
        (
            {"outputs": (TensorSpec(name="y", shape=(1,), dtype="complex64"),)},
            "load",
            "cannot be made complex64",
        ),
        (
            {"outputs": tuple(TensorSpec(name=name, shape=(1,)) for name in "yz")},
            "load",
            "the converted model has no out1; it has in0, out0",
        ),
    ],
)
def test_a_wrong_job_is_refused_with_its_reason(here, native, tmp_path, changes, stage, told):
    arm = tiny(native, tmp_path, **changes)
    done = launch(here, arm.staged, arm.job)
    assert (done.status, done.exit_code, done.stage) == ("failed", 3, stage)
    assert told in done.reason


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shape": (1, 2, 3, 5)}, "has 96 bytes, shape (1, 2, 3, 5) of float32 has 120"),
        ({"dtype": "int32"}, "feed x0 is float32, the job says int32"),
        ({"file": "nowhere.npy"}, "nowhere.npy: No such file"),
        ({"file": "job.json"}, "job.json is no .npy file"),
    ],
)
def test_a_wrong_feed_is_refused_with_its_reason(here, native, tmp_path, changes, told):
    arm = tiny(native, tmp_path)
    (item,) = arm.job.inputs
    wrong = msgspec.structs.replace(arm.job, inputs=(msgspec.structs.replace(item, **changes),))
    done = launch(here, arm.staged, wrong)
    assert (done.status, done.exit_code, done.stage) == ("failed", 3, "import")
    assert told in done.reason


@pytest.mark.parametrize("written", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "runtime": 2}'])
def test_what_is_no_job_is_refused(native, tmp_path, written):
    (tmp_path / "job.json").write_text(written)
    command = [native.path / "runner", "job.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("runner: job.json ")


@pytest.mark.parametrize("arguments", [(), ("job.json", "--srve"), ("a", "--serve", "b")])
def test_wrong_arguments_are_told_with_exit_code_2(native, arguments):
    done = subprocess.run([native.path / "runner", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: runner job.json [--serve]\n")


def test_weights_that_end_early_are_a_failure_or_a_crash_and_never_a_result(here, native, tmp_path):
    _, ours = arms(here, native)
    whole = Path(ours.job.files["bin"]).read_bytes()
    (tmp_path / "short.bin").write_bytes(whole[: len(whole) // 2])
    files = {**ours.job.files, "bin": str(tmp_path / "short.bin")}
    done = launch(here, ours.staged, msgspec.structs.replace(ours.job, files=files))
    assert done.status in {"failed", "crashed"}
    assert done.stage in {"load", "first"}
    assert done.result is None
