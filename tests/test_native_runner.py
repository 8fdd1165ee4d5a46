"""The static ncnn runner: built for real, and held against the Python runner on a model of the zoo."""

import json
import os
import shutil
import signal
import struct
import subprocess

import msgspec
import numpy as np
import pytest
from peers.native_runners import FEED, NCNN, TOOLS, arms, launched, one_kind_of_core, tiny

from harness.bundles import binary_bundle
from harness.bundles.compilers import abi_named
from harness.bundles.native import native_bundle
from harness.cache import Cache
from harness.launch import launch, load_outputs
from harness.pairing import run_pair
from harness.spec import RunnerResult, TensorSpec

pytest_plugins = ["peers.native_fixtures"]

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
SUM = (  # of two inputs, given out twice
    "7767517\n4 5\nInput in0 0 1 in0\nInput in1 0 1 in1\n"
    "BinaryOp add 2 1 in0 in1 sum 0=0\nSplit s 1 2 sum out0 out1\n"
)


def cosine(one, other):
    one, other = one.astype("float64").ravel(), other.astype("float64").ravel()
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def program_headers(path):
    """(type, alignment) of each; System V ABI, Object Files, for 64 bits."""
    content = path.read_bytes()
    offset, size, count = (
        *struct.unpack_from("<Q", content, 32),
        *struct.unpack_from("<HH", content, 54),
    )
    places = range(offset, offset + size * count, size)
    return [
        (struct.unpack_from("<I", content, at)[0], struct.unpack_from("<Q", content, at + 48)[0])
        for at in places
    ]


@pytest.mark.parametrize("abi", TOOLS)
def test_the_executable_is_static_and_small_and_its_bundle_is_a_binary_one(request, abi):
    bundle = request.getfixturevalue({"x86_64": "native", "arm64-v8a": "on_arm"}[abi])
    assert (bundle.info.kind, bundle.info.runtime, bundle.info.version) == (
        "binary",
        "ncnn",
        NCNN.default_version,
    )
    assert bundle.info.platform == f"linux-{abi_named(abi).arch}"
    program = bundle.path / "runner"
    headers = program_headers(program)
    assert not {kind for kind, _ in headers} & {PT_INTERP, PT_DYNAMIC}
    # Phones with pages of 16 KiB load nothing that is aligned to less.
    least = 2**14 if abi == "arm64-v8a" else 2**12
    assert all(alignment >= least for kind, alignment in headers if kind == PT_LOAD)
    assert program.stat().st_size < (10 if abi == "arm64-v8a" else 32) * 2**20


def test_a_second_build_builds_nothing(native):
    cache, told = Cache(), []
    with one_kind_of_core():
        again = native_bundle(
            cache, NCNN, NCNN.default_version, abi_named("x86_64"), lambda *given: told.append(given)
        )
    assert (again, cache.built, told) == (native, [], [])


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.999999), ("fp16", 0.99999), ("bf16", 0.9999)])
def test_it_computes_what_the_python_runner_computes(here, native, tmp_path, precision, least):
    python, ours = arms(here, native, precision)
    _, expected = launched(here, python, tmp_path / "python")
    result, array = launched(here, ours, tmp_path / "ours")
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    assert cosine(array, expected) > least
    assert result.runtime_version == NCNN.default_version
    assert result.backend == "cpu"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_an_arm_processor_it_computes_what_the_python_runner_computes_here(
    here, on_arm, tmp_path, precision
):
    python, ours = arms(here, on_arm, precision)
    _, expected = launched(here, python, tmp_path / "python")
    _, array = launched(here, ours, tmp_path / "ours")
    assert array.shape == expected.shape
    assert cosine(array, expected) > (0.999999 if precision == "fp32" else 0.9999)


def test_which_kernels_run_is_decided_by_the_arm_core_it_runs_on(here, on_arm, tmp_path):
    python, ours = arms(here, on_arm, "fp16")
    _, expected = launched(here, python, tmp_path / "python")
    found = {}
    for core in ("cortex-a53", "max"):
        environment = {**ours.staged.environment, "QEMU_CPU": core}
        staged = msgspec.structs.replace(ours.staged, environment=environment)
        _, found[core] = launched(here, msgspec.structs.replace(ours, staged=staged), tmp_path / core)
        assert cosine(found[core], expected) > 0.9999
    assert np.any(found["cortex-a53"] != found["max"]), "only one of them computes in half floats"


def test_its_result_has_every_field_that_the_python_runners_has(here, native, tmp_path):
    written = []
    for number, arm in enumerate(arms(here, native)):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "job.json").write_bytes(msgspec.json.encode(arm.job))
        environment = {"PATH": os.environ["PATH"], **arm.staged.environment}
        subprocess.run([*arm.staged.command, "job.json"], cwd=place, env=environment, check=True)
        written.append(json.loads((place / "result.json").read_bytes()))
        left = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
        assert left == {"job.json", "result.json", "outputs/0.npy", "stage"}
    python, ours = written
    assert ours.keys() == python.keys()
    for part in ("memory", "warmup", "state_start", "state_end"):
        assert ours[part].keys() == python[part].keys(), part
    for part in ("runtime", "runtime_version", "backend", "threads_asked", "affinity", "outputs"):
        assert ours[part] == python[part], part
    absent = {name for name, value in ours.items() if value is None}
    assert absent == {"python"}, "there is none"
    assert None not in ours["memory"].values()
    memory = msgspec.convert(ours, RunnerResult).memory
    assert 0 < memory.before_import_rss_bytes <= memory.after_load_rss_bytes <= memory.peak_rss_bytes
    assert memory.peak_rss_bytes < python["memory"]["before_load_rss_bytes"], "no interpreter, no numpy"


def test_batch_mode_takes_as_many_iterations_as_the_job_says_and_starts_them_in_order(here, native, tmp_path):
    _, ours = arms(here, native)
    result, _ = launched(here, ours, tmp_path / "ours")
    assert len(result.samples_ns) == len(result.started_ns) == 7
    assert 3 <= len(result.warmup.samples_ns) <= 20
    ends = [began + took for began, took in zip(result.started_ns, result.samples_ns, strict=True)]
    assert all(end <= began for end, began in zip(ends, result.started_ns[1:], strict=False))
    assert result.cpu_time_s >= 0
    assert result.timed_wall_s >= sum(result.samples_ns) / 1e9


def test_serve_mode_answers_each_block_on_standard_output_and_then_writes_the_result(native, tmp_path):
    arm = tiny(native, tmp_path)
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(arm.job))
    command = [*arm.staged.command, "job.json", "--serve"]
    asked = '{"iterations": 5}\n{"iterations": 1}\n\nnever read'
    done = subprocess.run(command, cwd=tmp_path, input=asked, capture_output=True, text=True, check=True)
    ready, *blocks = [json.loads(line) for line in done.stdout.splitlines()]
    assert ready == {"ready": True}
    assert [len(block["samples_ns"]) for block in blocks] == [5, 1]
    result = msgspec.json.decode((tmp_path / "result.json").read_bytes(), type=RunnerResult)
    assert list(result.samples_ns) == [sample for block in blocks for sample in block["samples_ns"]]
    assert list(result.started_ns) == [start for block in blocks for start in block["started_ns"]]


def test_it_is_alternated_with_the_python_runner_in_blocks(here, native):
    python, ours = arms(here, native)
    pair = run_pair(here, ours, python, seconds=0.3, swapped=False)
    assert pair.candidate_ns
    assert len(pair.candidate_ns) == len(pair.against_ns)


def test_threads_and_cores_are_those_obtained(here, native, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    _, ours = arms(here, native, threads=2)
    result, _ = launched(here, ours, tmp_path / "two")
    assert (result.threads_asked, result.threads_obtained) == (2, 2)
    assert set(result.affinity) == os.sched_getaffinity(0)
    core = min(os.sched_getaffinity(0))
    pinned = msgspec.structs.replace(ours.staged, command=("taskset", "-c", str(core), *ours.staged.command))
    result, _ = launched(here, msgspec.structs.replace(ours, staged=pinned), tmp_path / "pinned")
    assert result.affinity == (core,)


def test_shapes_names_and_values_survive_the_way_in_and_out(here, native, tmp_path):
    arm = tiny(native, tmp_path)
    result, array = launched(here, arm, tmp_path / "outputs")
    np.testing.assert_array_equal(array, np.maximum(FEED, 0))
    assert array.shape == FEED.shape, "ncnn's has no batch axis"
    assert result.outputs == (TensorSpec(name='y {"}', shape=FEED.shape),)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 3, 5, 7)])
def test_arrays_of_one_to_four_axes_pass_unharmed(here, native, tmp_path, shape):
    feed = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    arm = tiny(native, tmp_path, feeds=(feed,), options={})
    _, array = launched(here, arm, tmp_path / "outputs")
    np.testing.assert_array_equal(array, feed)
    assert array.shape == shape


def test_several_inputs_and_outputs_keep_the_jobs_order_and_types(here, native, tmp_path):
    specs = (TensorSpec(name="a", shape=FEED.shape), TensorSpec(name="b", shape=FEED.shape, dtype="int64"))
    arm = tiny(native, tmp_path, SUM, (FEED, FEED + 10), outputs=specs)
    done = launch(here, arm.staged, arm.job, outputs=tmp_path / "outputs")
    (one, first), (other, second) = load_outputs(tmp_path / "outputs", done.result.outputs)
    assert (one, other, second.dtype) == ("a", "b", np.int64)
    np.testing.assert_array_equal(first, FEED + (FEED + 10))
    np.testing.assert_array_equal(second, first.astype("int64"))


def test_a_runner_that_is_killed_leaves_its_stage_behind(native, tmp_path):
    arm = tiny(native, tmp_path)
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(arm.job))
    command = [*arm.staged.command, "job.json", "--serve"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as serving:
        assert json.loads(serving.stdout.readline()) == {"ready": True}
        serving.kill()
    assert serving.returncode == -signal.SIGKILL
    assert (tmp_path / "stage").read_text() == "timing"
    assert not (tmp_path / "result.json").exists()


def test_a_copy_of_the_bundle_is_the_same_bundle(native, tmp_path):
    shutil.copytree(native.path, tmp_path / "copy")
    assert binary_bundle(tmp_path / "copy").digest == native.digest
