"""The static ncnn runner: built for real, and held against the Python runner on a model of the zoo."""

import json
import os
import shutil
import signal
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from devices.local import LocalDevice
from harness.arm import make_arm
from harness.bundles import binary_bundle
from harness.bundles import native as bundles_native
from harness.bundles.compilers import abi_named
from harness.bundles.native import NCNN_OPTIONS, native_bundle
from harness.cache import Cache
from harness.launch import Staged, launch, load_outputs
from harness.models.zoo import load_zoo
from harness.pairing import run_pair
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.schedule import EFFORTS
from harness.spec import Case, Job, JobInput, RunnerResult, TensorSpec, TimingPlan, WarmupPlan

PROJECT = Path(__file__).parent.parent
ZOO = PROJECT / "suites" / "zoo.toml"
NCNN = RUNTIMES["ncnn"]
QEMU = "qemu-aarch64-static"
TOOLS = {"x86_64": ("g++",), "arm64-v8a": ("aarch64-linux-gnu-g++", QEMU)}
WARMUP = WarmupPlan(max_iterations=20, max_s=0.3)
TIMING = TimingPlan(min_iterations=7, max_iterations=9, target_s=0.0)
ONE_KIND_OF_CORE = {"NCNN_RUNTIME_CPU": "OFF", "NCNN_AVX512": "OFF", "NCNN_AVXVNNI": "OFF", "NCNN_XOP": "OFF"}
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3

# max(x, 0), and a sum of two inputs that is given out twice.
RELU = "7767517\n2 2\nInput in0 0 1 in0\nReLU relu 1 1 in0 out0\n"
SUM = (
    "7767517\n4 5\nInput in0 0 1 in0\nInput in1 0 1 in1\n"
    "BinaryOp add 2 1 in0 in1 sum 0=0\nSplit s 1 2 sum out0 out1\n"
)
FEED = np.linspace(-3, 3, 24, dtype="float32").reshape(1, 2, 3, 4)


class Arm(NamedTuple):
    staged: Staged
    job: Job


def built(abi):
    missing = [tool for tool in TOOLS[abi] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: tests/setup.sh installs what is needed")
    return native_bundle(Cache(), NCNN, NCNN.default_version, abi_named(abi), lambda *_: None)


@contextmanager
def one_kind_of_core():
    """One set of kernels instead of one for each kind of x86: a fifth of the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles_native, "NCNN_OPTIONS", {**NCNN_OPTIONS, **ONE_KIND_OF_CORE})
        yield


@pytest.fixture(scope="module")
def native():
    """For this machine."""
    with one_kind_of_core():
        return built("x86_64")


@pytest.fixture(scope="module")
def on_arm():
    return built("arm64-v8a")


@pytest.fixture
def device(tmp_path):
    with LocalDevice("bench", str(tmp_path / "it's a place"), exclusive=False) as opened:
        yield opened


def arms(device, bundle, precision="fp32", threads=1):
    """ppocr_cls for the Python runner and for the one in `bundle`, which may be of another processor."""
    case = Case(
        model="ppocr_cls",
        runtime="ncnn",
        runtime_version=NCNN.default_version,
        precision=precision,
        threads=threads,
    )
    ready = make_ready(Cache(), load_zoo(ZOO)[case.model], ZOO.parent, case)
    made = [
        make_arm(device, msgspec.structs.replace(ready, bundle=one), EFFORTS["quick"], Cache())
        for one in (ready.bundle, bundle)
    ]
    python, ours = (
        msgspec.structs.replace(
            arm, job=msgspec.structs.replace(arm.job, warmup=WARMUP, timing=TIMING, threads=threads)
        )
        for arm in made
    )
    if bundle.info.platform == "linux-aarch64":
        ours = msgspec.structs.replace(ours, staged=emulated(ours.staged))
    return python, ours


def emulated(staged):
    return msgspec.structs.replace(staged, command=(QEMU, *staged.command))


def launched(device, arm, place):
    done = launch(device, arm.staged, arm.job, outputs=place)
    assert (done.status, done.reason, done.stage) == ("measured", "", "done")
    ((_, array),) = load_outputs(place, done.result.outputs)
    return done.result, array


def cosine(one, other):
    one, other = one.astype("float64").ravel(), other.astype("float64").ravel()
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def tiny(device, bundle, tmp_path, param=RELU, feeds=(FEED,), **changes):
    """A network of a few lines for the runner in `bundle`; what is given replaces the job's fields."""
    (tmp_path / "net.param").write_text(param)
    (tmp_path / "net.bin").write_bytes(b"")
    inputs = []
    for index, feed in enumerate(feeds):
        np.save(tmp_path / f"{index}.npy", feed)
        inputs.append(
            JobInput(
                name=f"x{index}", shape=feed.shape, dtype=feed.dtype.name, file=str(tmp_path / f"{index}.npy")
            )
        )
    given = {
        "runtime": "ncnn",
        "backend": "cpu",
        "precision": "fp32",
        "threads": 1,
        "files": {"param": str(tmp_path / "net.param"), "bin": str(tmp_path / "net.bin")},
        "inputs": tuple(inputs),
        "outputs": (TensorSpec(name='y {"}', shape=feeds[0].shape),),
        "warmup": WARMUP,
        "timing": TIMING,
        "options": {"batch_axes": [0] * len(feeds)},
    }
    staged = Staged(
        command=bundle.command(str(bundle.path)),
        environment=NCNN.variables(1),
        files=given["files"],
        inputs=given["inputs"],
    )
    return Arm(staged, Job(**{**given, **changes}))


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
def test_it_computes_what_the_python_runner_computes(device, native, tmp_path, precision, least):
    python, ours = arms(device, native, precision)
    _, expected = launched(device, python, tmp_path / "python")
    result, array = launched(device, ours, tmp_path / "ours")
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    assert cosine(array, expected) > least
    assert result.runtime_version == NCNN.default_version
    assert result.backend == "cpu"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_an_arm_processor_it_computes_what_the_python_runner_computes_here(
    device, on_arm, tmp_path, precision
):
    python, ours = arms(device, on_arm, precision)
    _, expected = launched(device, python, tmp_path / "python")
    _, array = launched(device, ours, tmp_path / "ours")
    assert array.shape == expected.shape
    assert cosine(array, expected) > (0.999999 if precision == "fp32" else 0.9999)


def test_which_kernels_run_is_decided_by_the_arm_core_it_runs_on(device, on_arm, tmp_path):
    python, ours = arms(device, on_arm, "fp16")
    _, expected = launched(device, python, tmp_path / "python")
    found = {}
    for core in ("cortex-a53", "max"):
        environment = {**ours.staged.environment, "QEMU_CPU": core}
        staged = msgspec.structs.replace(ours.staged, environment=environment)
        _, found[core] = launched(device, msgspec.structs.replace(ours, staged=staged), tmp_path / core)
        assert cosine(found[core], expected) > 0.9999
    assert np.any(found["cortex-a53"] != found["max"]), "only one of them computes in half floats"


def test_its_result_has_every_field_that_the_python_runners_has(device, native, tmp_path):
    written = []
    for number, arm in enumerate(arms(device, native)):
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


def test_batch_mode_takes_as_many_iterations_as_the_job_says_and_starts_them_in_order(
    device, native, tmp_path
):
    _, ours = arms(device, native)
    result, _ = launched(device, ours, tmp_path / "ours")
    assert len(result.samples_ns) == len(result.started_ns) == 7
    assert 3 <= len(result.warmup.samples_ns) <= 20
    ends = [began + took for began, took in zip(result.started_ns, result.samples_ns, strict=True)]
    assert all(end <= began for end, began in zip(ends, result.started_ns[1:], strict=False))
    assert result.cpu_time_s >= 0
    assert result.timed_wall_s >= sum(result.samples_ns) / 1e9


def test_serve_mode_answers_each_block_on_standard_output_and_then_writes_the_result(native, tmp_path):
    arm = tiny(None, native, tmp_path)
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


def test_it_is_alternated_with_the_python_runner_in_blocks(device, native):
    python, ours = arms(device, native)
    pair = run_pair(device, ours, python, seconds=0.3, swapped=False)
    assert pair.candidate_ns
    assert len(pair.candidate_ns) == len(pair.against_ns)


def test_a_serving_runner_refuses_what_is_no_question(native, tmp_path):
    arm = tiny(None, native, tmp_path)
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(arm.job))
    command = [*arm.staged.command, "job.json", "--serve"]
    done = subprocess.run(command, cwd=tmp_path, input="{}\n", capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert 'runner: a question is not {"iterations": n}' in done.stderr


def test_threads_and_cores_are_those_obtained(device, native, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    _, ours = arms(device, native, threads=2)
    result, _ = launched(device, ours, tmp_path / "two")
    assert (result.threads_asked, result.threads_obtained) == (2, 2)
    assert set(result.affinity) == os.sched_getaffinity(0)
    core = min(os.sched_getaffinity(0))
    pinned = msgspec.structs.replace(ours.staged, command=("taskset", "-c", str(core), *ours.staged.command))
    result, _ = launched(device, msgspec.structs.replace(ours, staged=pinned), tmp_path / "pinned")
    assert result.affinity == (core,)


def test_shapes_names_and_values_survive_the_way_in_and_out(device, native, tmp_path):
    arm = tiny(device, native, tmp_path)
    result, array = launched(device, arm, tmp_path / "outputs")
    np.testing.assert_array_equal(array, np.maximum(FEED, 0))
    assert array.shape == FEED.shape, "ncnn's has no batch axis"
    assert result.outputs == (TensorSpec(name='y {"}', shape=FEED.shape),)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 3, 5, 7)])
def test_arrays_of_one_to_four_axes_pass_unharmed(device, native, tmp_path, shape):
    feed = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    arm = tiny(device, native, tmp_path, feeds=(feed,), options={})
    _, array = launched(device, arm, tmp_path / "outputs")
    np.testing.assert_array_equal(array, feed)
    assert array.shape == shape


def test_several_inputs_and_outputs_keep_the_jobs_order_and_types(device, native, tmp_path):
    specs = (TensorSpec(name="a", shape=FEED.shape), TensorSpec(name="b", shape=FEED.shape, dtype="int64"))
    arm = tiny(device, native, tmp_path, SUM, (FEED, FEED + 10), outputs=specs)
    done = launch(device, arm.staged, arm.job, outputs=tmp_path / "outputs")
    (one, first), (other, second) = load_outputs(tmp_path / "outputs", done.result.outputs)
    assert (one, other, second.dtype) == ("a", "b", np.int64)
    np.testing.assert_array_equal(first, FEED + (FEED + 10))
    np.testing.assert_array_equal(second, first.astype("int64"))


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
def test_a_wrong_job_is_refused_with_its_reason(device, native, tmp_path, changes, stage, told):
    arm = tiny(device, native, tmp_path, **changes)
    done = launch(device, arm.staged, arm.job)
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
def test_a_wrong_feed_is_refused_with_its_reason(device, native, tmp_path, changes, told):
    arm = tiny(device, native, tmp_path)
    (item,) = arm.job.inputs
    wrong = msgspec.structs.replace(arm.job, inputs=(msgspec.structs.replace(item, **changes),))
    done = launch(device, arm.staged, wrong)
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


def test_weights_that_end_early_are_a_failure_or_a_crash_and_never_a_result(device, native, tmp_path):
    _, ours = arms(device, native)
    whole = Path(ours.job.files["bin"]).read_bytes()
    (tmp_path / "short.bin").write_bytes(whole[: len(whole) // 2])
    files = {**ours.job.files, "bin": str(tmp_path / "short.bin")}
    done = launch(device, ours.staged, msgspec.structs.replace(ours.job, files=files))
    assert done.status in {"failed", "crashed"}
    assert done.stage in {"load", "first"}
    assert done.result is None


def test_a_runner_that_is_killed_leaves_its_stage_behind(native, tmp_path):
    arm = tiny(None, native, tmp_path)
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
