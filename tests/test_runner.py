"""The runner package as it is pushed: what it may need, what it times, and how it answers."""

import ast
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest

from devices.local import LocalDevice
from harness.bundles import wheel_bundle
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.interpreters import find_python
from harness.launch import Files, launch, load_outputs, runner_tree, stage
from harness.runner import timing
from harness.runtimes import RUNTIMES
from harness.spec import Job, MemoryUse, RunnerResult, TensorSpec, TimingPlan, WarmupPlan

RUNTIME_MODULES = {"onnxruntime", "MNN", "ncnn", "paddlelite"}
OLDEST = "3.8"

# Put before the bundle: the real onnxruntime, made to print on stdout whenever it is imported or run.
LOUD = """
import os, sys
os.write(1, b'{"samples_ns": "from C"}\\n')
print('a banner')
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
del sys.modules['onnxruntime']
import onnxruntime

class Session(onnxruntime.InferenceSession):
    def run(self, *arguments):
        os.write(1, b'no newline at the end')
        print('a kernel was chosen')
        return super().run(*arguments)

onnxruntime.InferenceSession = Session
"""


@pytest.fixture(scope="module")
def cache():
    return Cache()


@pytest.fixture(scope="module")
def package(cache):
    """The runner as a launch pushes it."""
    return runner_tree(cache).path / "runner"


@pytest.fixture(scope="module")
def bundle(cache):
    runtime = RUNTIMES["onnxruntime"]
    return wheel_bundle(cache, runtime, runtime.default_version)


@pytest.fixture
def device(tmp_path):
    with LocalDevice("bench", str(tmp_path / "work"), exclusive=False) as opened:
        yield opened


def encoded(*fields):
    """Protocol buffer message of (number, value) fields, small numbers and byte strings only."""
    written = b""
    for number, value in fields:
        if isinstance(value, int):
            written += bytes([number << 3, value])
        else:
            content = value.encode() if isinstance(value, str) else value
            written += bytes([number << 3 | 2, len(content)]) + content
    return written


def negating_model():
    """ONNX: y = -x for float32 [1, 4]."""
    shape = encoded((1, encoded((1, 1))), (1, encoded((1, 4))))
    kind = encoded((1, encoded((1, 1), (2, shape))))
    node = encoded((1, "x"), (2, "y"), (4, "Neg"))
    graph = encoded(
        (1, node), (2, "g"), (11, encoded((1, "x"), (2, kind))), (12, encoded((1, "y"), (2, kind)))
    )
    return encoded((1, 8), (7, graph), (8, encoded((2, 13))))


@pytest.fixture
def staged(cache, bundle, device, tmp_path):
    (tmp_path / "model.onnx").write_bytes(negating_model())
    np.save(tmp_path / "0.npy", np.arange(4, dtype="float32").reshape(1, 4))
    runtime = RUNTIMES["onnxruntime"]
    return stage(
        device,
        runner=runner_tree(cache),
        bundle=bundle,
        artifact=Files(path=tmp_path, digest="unused", names={"onnx": "model.onnx"}),
        feed=Files(path=tmp_path, digest="unused", names={"0": "0.npy"}),
        inputs=(TensorSpec(name="x", shape=(1, 4)),),
        environment=runtime.variables(1),
    )


def job(staged, **changes):
    given = {
        "runtime": "onnxruntime",
        "backend": "cpu",
        "precision": "fp32",
        "threads": 1,
        "files": staged.files,
        "inputs": staged.inputs,
        "outputs": (TensorSpec(name="y", shape=(1, 4)),),
        "warmup": WarmupPlan(max_iterations=10),
        "timing": TimingPlan(min_iterations=3, max_iterations=12, target_s=0.0),
    }
    return Job(**{**given, **changes})


class Served:
    """The runner in serve mode; `ask` is one line to it and one line back."""

    def __init__(self, staged, given, folder, *, before=""):
        (folder / "job.json").write_bytes(msgspec.json.encode(given))
        path = f"{before}:{staged.environment['PYTHONPATH']}" if before else staged.environment["PYTHONPATH"]
        self.process = subprocess.Popen(
            [*staged.command, "job.json", "--serve"],
            cwd=folder,
            env={**os.environ, **staged.environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.result = folder / "result.json"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                stream.close()

    def line(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, iterations):
        self.process.stdin.write(json.dumps({"iterations": iterations}) + "\n")
        self.process.stdin.flush()
        return self.line()

    def end(self):
        rest, _ = self.process.communicate("\n", timeout=60)
        return self.process.returncode, rest


class ReplayedTime:
    """A clock that only inferences advance."""

    def __init__(self, *durations_ns):
        self.now_ns = 10**12
        self.durations_ns = list(durations_ns)

    def perf_counter_ns(self):
        return self.now_ns

    def infer(self):
        self.now_ns += self.durations_ns.pop(0)


@pytest.fixture
def replayed(monkeypatch):
    def replay(*durations_ns):
        clock = ReplayedTime(*durations_ns)
        monkeypatch.setattr(timing, "time", clock)
        return clock

    return replay


def plan(**changes):
    return msgspec.to_builtins(msgspec.structs.replace(WarmupPlan(), **changes))


def test_every_file_compiles_on_the_oldest_python_of_a_device(package):
    files = sorted(package.rglob("*.py"))
    assert files
    try:
        oldest = find_python(OLDEST)
    except UnsupportedError:
        for path in files:
            ast.parse(path.read_text(), feature_version=(3, 8))
        return
    code = "import sys\nfor p in sys.argv[1:]: compile(open(p).read(), p, 'exec')"
    subprocess.run([oldest, "-I", "-W", "error", "-c", code, *files], check=True)
    # What needs no numpy is imported as well: compiling evaluates no annotation.
    code = "import sys; sys.path.insert(0, sys.argv[1]); from runner import machine, timing; machine.state()"
    subprocess.run([oldest, "-I", "-W", "error", "-c", code, package.parent], check=True)


def test_the_runner_imports_nothing_but_the_standard_library_numpy_and_one_runtime(package):
    for path in package.rglob("*.py"):
        foreign = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                foreign |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                foreign.add(node.module.split(".")[0])
        foreign -= {*sys.stdlib_module_names, "numpy"}
        assert foreign <= RUNTIME_MODULES, path.name
        assert len(foreign) <= (path.parent.name == "backends"), f"{path.name} holds more than one runtime"


def test_warm_up_ends_when_two_windows_agree(replayed):
    clock = replayed(*[900] * 5, *[500] * 5, *[505] * 5, *[1] * 100)
    samples, settled = timing.warm_up(clock.infer, plan(window=5, tolerance=0.02))
    assert settled
    assert samples == [900] * 5 + [500] * 5 + [505] * 5


def test_one_slow_inference_in_a_window_does_not_unsettle_it(replayed):
    clock = replayed(*[500] * 4, 90_000, *[500] * 4, 70_000, *[1] * 100)
    samples, settled = timing.warm_up(clock.infer, plan(window=5))
    assert (len(samples), settled) == (10, True)


def test_warm_up_that_never_settles_ends_at_its_count_and_says_so(replayed):
    clock = replayed(*[1000 + 100 * n for n in range(50)])
    samples, settled = timing.warm_up(clock.infer, plan(max_iterations=23, window=5, tolerance=0.001))
    assert (len(samples), settled) == (23, False)


def test_warm_up_that_takes_too_long_ends_at_its_time_and_says_so(replayed):
    clock = replayed(*[400_000_000] * 50)
    samples, settled = timing.warm_up(clock.infer, plan(max_s=1.0, min_iterations=3))
    assert (len(samples), settled) == (3, False)


def test_warm_up_runs_its_least_count_however_slow(replayed):
    clock = replayed(*[10**9] * 50)
    samples, settled = timing.warm_up(clock.infer, plan(max_s=0.5, min_iterations=4))
    assert (len(samples), settled) == (4, False)


@pytest.mark.parametrize(
    ("at_least", "at_most", "target_s", "expected"),
    [(5, 2000, 0.0, 5), (5, 12, 60.0, 12), (1, 1, 60.0, 1), (3, 2000, 0.01, 10), (20, 2000, 0.01, 20)],
)
def test_timing_holds_its_counts_before_its_time(replayed, at_least, at_most, target_s, expected):
    clock = replayed(*[1_000_000] * 3000)
    samples, started = timing.timed(clock.infer, at_least, at_most, target_s)
    assert samples == [1_000_000] * expected
    assert started == [10**12 + n * 1_000_000 for n in range(expected)]


def test_a_batch_result_has_every_field_and_its_figures_make_sense(device, staged, tmp_path):
    done = launch(device, staged, job(staged), outputs=tmp_path / "outputs")
    result = done.result
    assert (done.status, done.stage, done.reason) == ("measured", "done", "")
    assert (result.runtime, result.runtime_version) == (
        "onnxruntime",
        RUNTIMES["onnxruntime"].default_version,
    )
    assert result.backend == "CPUExecutionProvider"
    assert len(result.samples_ns) == len(result.started_ns) == 3
    assert 1 <= len(result.warmup.samples_ns) <= 10
    assert all(
        later >= earlier + took
        for earlier, took, later in zip(
            result.started_ns, result.samples_ns, result.started_ns[1:], strict=False
        )
    )
    assert min(result.import_s, result.load_s, result.first_s, *result.samples_ns) > 0
    assert 0 < result.cpu_time_s + result.timed_wall_s < done.wall_s * 4
    assert result.outputs == (TensorSpec(name="y", shape=(1, 4)),)
    ((name, array),) = load_outputs(tmp_path / "outputs", result.outputs)
    assert name == "y"
    np.testing.assert_array_equal(array, [[-0.0, -1, -2, -3]])


def test_memory_is_read_at_every_stage_and_the_peak_is_above_them(device, staged):
    memory = launch(device, staged, job(staged)).result.memory
    stages = [
        memory.before_import_rss_bytes,
        memory.before_load_rss_bytes,
        memory.after_load_rss_bytes,
        memory.after_first_rss_bytes,
    ]
    assert 1 << 20 < stages[0] < stages[1], "importing a runtime takes memory"
    assert memory.peak_rss_bytes >= max(stages) >= memory.after_first_rss_bytes
    assert memory.pss_bytes is None or 0 < memory.pss_bytes <= memory.peak_rss_bytes


def test_the_written_result_names_every_field(staged, tmp_path):
    with Served(staged, job(staged), tmp_path) as runner:
        assert runner.line() == {"ready": True}
        runner.ask(1)
        runner.end()
        written = json.loads(runner.result.read_text())
    assert written.keys() == {field.name for field in msgspec.structs.fields(RunnerResult)}
    assert written["memory"].keys() == {field.name for field in msgspec.structs.fields(MemoryUse)}


def test_threads_and_cores_are_those_obtained(staged, tmp_path):
    core = min(os.sched_getaffinity(0))
    with LocalDevice("pinned", str(tmp_path / "pinned"), cpus=(core,), exclusive=False) as pinned:
        one = launch(pinned, staged, job(staged, threads=1)).result
        three = launch(pinned, staged, job(staged, threads=3)).result
    assert one.affinity == three.affinity == (core,)
    assert (one.threads_asked, three.threads_asked) == (1, 3)
    assert three.threads_obtained == one.threads_obtained + 2


def test_served_blocks_are_answered_line_by_line(staged, tmp_path):
    with Served(staged, job(staged), tmp_path) as runner:
        assert runner.line() == {"ready": True}
        blocks = [runner.ask(count) for count in (1, 7, 3)]
        assert not runner.result.exists()
        assert runner.end() == (0, "")
        result = msgspec.json.decode(runner.result.read_bytes(), type=RunnerResult)
    assert [len(block["samples_ns"]) for block in blocks] == [1, 7, 3]
    assert list(result.samples_ns) == [sample for block in blocks for sample in block["samples_ns"]]
    assert list(result.started_ns) == [start for block in blocks for start in block["started_ns"]]
    assert list(result.started_ns) == sorted(result.started_ns)
    assert result.outputs == (TensorSpec(name="y", shape=(1, 4)),)


def test_serving_ends_well_when_its_parent_closes_the_line(staged, tmp_path):
    with Served(staged, job(staged), tmp_path) as runner:
        runner.line()
        runner.ask(2)
        runner.process.stdin.close()
        assert runner.process.wait(60) == 0
        assert len(json.loads(runner.result.read_text())["samples_ns"]) == 2


def test_what_a_runtime_prints_does_not_get_among_the_answers(staged, tmp_path):
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud" / "onnxruntime.py").write_text(LOUD)
    with Served(staged, job(staged), tmp_path, before=tmp_path / "loud") as runner:
        assert runner.line() == {"ready": True}
        assert [len(runner.ask(2)["samples_ns"]) for _ in range(3)] == [2, 2, 2]
        assert runner.end() == (0, "")


def test_a_job_of_another_schema_is_refused_before_anything_is_imported(device, staged):
    done = launch(device, staged, job(staged, schema=99, runtime="nothing"))
    assert (done.status, done.exit_code) == ("failed", 1)
    assert "schema 99" in done.reason


def test_a_runtime_without_a_backend_is_refused_by_name(device, staged):
    done = launch(device, staged, job(staged, runtime="tflite"))
    assert (done.status, done.exit_code, done.stage) == ("failed", 3, "import")
    assert "'tflite'" in done.reason
    assert "onnxruntime" in done.reason


@pytest.mark.parametrize("arguments", [[], ["job.json", "--server"], ["job.json", "--serve", "more"]])
def test_wrong_arguments_are_told_with_the_right_ones(staged, arguments):
    done = subprocess.run(
        [*staged.command, *arguments],
        env={**os.environ, **staged.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "usage: python -m runner job.json [--serve]\n"
    assert Path(staged.files["onnx"]).exists()
