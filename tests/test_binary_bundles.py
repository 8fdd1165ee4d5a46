"""Binary bundles: a real C runner that is built, checked and launched."""

import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from peers.binary_bundles import bundle_in

from devices.local import LocalDevice
from harness.arm import Arm
from harness.bundles import binary_bundle
from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.launch import Files, Staged, launch, load_outputs, runner_tree, stage
from harness.pairing import run_pair
from harness.runtimes import RUNTIMES
from harness.spec import Job, RunnerResult, TensorSpec, TimingPlan, WarmupPlan

pytest_plugins = ["peers.c_runner_fixtures"]

QEMU = "qemu-aarch64-static"
FEED = np.array([[-2.0, -0.0, 0.5, 3e38], [np.inf, -np.inf, 1e-45, -1e-45]], "float32")
EXPECTED = np.maximum(FEED, np.float32(0))


def staged_on(device, bundle, tmp_path):
    for name in ("artifact", "feed"):
        (tmp_path / name).mkdir(exist_ok=True)
    np.save(tmp_path / "feed" / 'x "1".npy', FEED)
    return stage(
        device,
        runner=runner_tree(Cache()),
        bundle=bundle,
        artifact=Files(path=tmp_path / "artifact", digest="unused", names={}),
        feed=Files(path=tmp_path / "feed", digest="unused", names={"0": 'x "1".npy'}),
        inputs=(TensorSpec(name="x", shape=FEED.shape),),
        environment=RUNTIMES["ncnn"].variables(1),
    )


def job(staged, **changes):
    given = {
        "runtime": "ncnn",
        "backend": "cpu",
        "precision": "fp32",
        "threads": 1,
        "files": staged.files,
        "inputs": staged.inputs,
        "outputs": (TensorSpec(name='y {"}', shape=FEED.shape),),
        "warmup": WarmupPlan(max_iterations=20),
        "timing": TimingPlan(min_iterations=7, max_iterations=9, target_s=0.0),
    }
    return Job(**{**given, **changes})


@pytest.fixture
def device(tmp_path):
    with LocalDevice("bench", str(tmp_path / "it's a place"), exclusive=False) as opened:
        yield opened


def test_a_c_program_is_launched_end_to_end_and_its_outputs_are_exact(device, bundle_folder, tmp_path):
    staged = staged_on(device, binary_bundle(bundle_folder), tmp_path)
    done = launch(device, staged, job(staged), outputs=tmp_path / "outputs")
    assert (done.status, done.reason, done.stage) == ("measured", "", "done")
    assert (done.result.runtime, done.result.runtime_version) == ("ncnn", "1.0")
    assert len(done.result.samples_ns) == len(done.result.started_ns) == 7
    assert 3 <= len(done.result.warmup.samples_ns) <= 20
    assert done.result.memory.peak_rss_bytes >= done.result.memory.after_load_rss_bytes > 0
    ((name, array),) = load_outputs(tmp_path / "outputs", done.result.outputs)
    assert name == 'y {"}'
    np.testing.assert_array_equal(array, EXPECTED)
    assert array.dtype == np.float32


def test_an_arm_program_keeps_the_contract_on_an_arm_processor(device, built, tmp_path):
    bundle = binary_bundle(bundle_in(tmp_path / "arm", built, "linux-aarch64"))
    staged = staged_on(device, bundle, tmp_path)
    emulated = msgspec.structs.replace(staged, command=(QEMU, *staged.command))
    done = launch(device, emulated, job(staged), outputs=tmp_path / "outputs")
    assert (done.status, done.reason) == ("measured", "")
    ((_, array),) = load_outputs(tmp_path / "outputs", done.result.outputs)
    np.testing.assert_array_equal(array, EXPECTED)


def test_what_the_c_program_leaves_behind_is_what_the_contract_names(device, bundle_folder, tmp_path):
    staged = staged_on(device, binary_bundle(bundle_folder), tmp_path)
    place = tmp_path / "launch"
    place.mkdir()
    (place / "job.json").write_bytes(msgspec.json.encode(job(staged)))
    subprocess.run([*staged.command, "job.json"], cwd=place, check=True)
    left = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert left == {"job.json", "result.json", "outputs/0.npy", "stage"}
    assert (place / "stage").read_text() == "done"
    result = msgspec.json.decode((place / "result.json").read_bytes(), type=RunnerResult)
    assert result.outputs == (TensorSpec(name='y {"}', shape=FEED.shape),)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff", "ends within its header"),
        (None, "No such file"),
        (FEED.astype("float64"), "is not float32"),
        (np.asfortranarray(FEED), "is not in C order"),
    ],
)
def test_the_c_program_refuses_a_wrong_feed_with_its_reason(device, bundle_folder, tmp_path, content, told):
    staged = staged_on(device, binary_bundle(bundle_folder), tmp_path)
    feed = Path(staged.inputs[0].file)
    feed.unlink()
    if isinstance(content, bytes):
        feed.write_bytes(content)
    elif content is not None:
        np.save(feed, content)
    done = launch(device, staged, job(staged))
    assert (done.status, done.exit_code, done.stage) == ("failed", 3, "load")
    assert told in done.reason


def test_the_c_program_refuses_a_job_of_another_schema(device, bundle_folder, tmp_path):
    staged = staged_on(device, binary_bundle(bundle_folder), tmp_path)
    done = launch(device, staged, job(staged, schema=2))
    assert (done.status, done.reason) == ("failed", "this runner reads jobs of schema 1")


def test_a_bundle_that_brings_its_runner_gets_none_of_ours_and_its_environment_wins(
    device, bundle_folder, tmp_path
):
    staged = staged_on(device, binary_bundle(bundle_folder), tmp_path)
    assert staged.command == (f"{bundle_folder}/runner",)
    assert "PYTHONPATH" not in staged.environment
    assert staged.environment["GREETING"] == f"from {bundle_folder}"
    assert staged.environment["OMP_WAIT_POLICY"] == "active", "what the author set"
    assert staged.environment["OMP_NUM_THREADS"] == "1", "what the runtime sets"


def test_two_binary_bundles_cannot_be_alternated_and_that_is_told(device):
    staged = Staged(command=("/nowhere/runner",), environment={}, files={}, inputs=())
    arm = Arm(staged=staged, job=job(staged))
    with pytest.raises(PocketbenchError, match="alternating needs a Python on the device"):
        run_pair(device, arm, arm, seconds=0.1, swapped=False)
