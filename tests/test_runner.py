"""The runner package as it is pushed: what it may need, what it measures, what it refuses."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from peers.negating import job

from devices.local import LocalDevice
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.interpreters import find_python
from harness.launch import launch, load_outputs, runner_tree
from harness.runtimes import RUNTIMES
from harness.spec import TensorSpec

pytest_plugins = ["peers.runner_fixtures"]

RUNTIME_MODULES = {"onnxruntime", "MNN", "ncnn", "paddlelite"}
OLDEST = "3.8"


@pytest.fixture(scope="module")
def package():
    """The runner as a launch pushes it."""
    return runner_tree(Cache()).path / "runner"


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


def test_a_batch_result_has_every_field_and_its_figures_make_sense(bench, staged, tmp_path):
    done = launch(bench, staged, job(staged), outputs=tmp_path / "outputs")
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


def test_memory_is_read_at_every_stage_and_the_peak_is_above_them(bench, staged):
    memory = launch(bench, staged, job(staged)).result.memory
    stages = [
        memory.before_import_rss_bytes,
        memory.before_load_rss_bytes,
        memory.after_load_rss_bytes,
        memory.after_first_rss_bytes,
    ]
    assert 1 << 20 < stages[0] < stages[1], "importing a runtime takes memory"
    assert memory.peak_rss_bytes >= max(stages) >= memory.after_first_rss_bytes
    assert memory.pss_bytes is None or 0 < memory.pss_bytes <= memory.peak_rss_bytes


def test_threads_and_cores_are_those_obtained(staged, tmp_path):
    core = min(os.sched_getaffinity(0))
    with LocalDevice("pinned", str(tmp_path / "pinned"), cpus=(core,), exclusive=False) as pinned:
        one = launch(pinned, staged, job(staged, threads=1)).result
        three = launch(pinned, staged, job(staged, threads=3)).result
    assert one.affinity == three.affinity == (core,)
    assert (one.threads_asked, three.threads_asked) == (1, 3)
    assert three.threads_obtained == one.threads_obtained + 2


def test_a_job_of_another_schema_is_refused_before_anything_is_imported(bench, staged):
    done = launch(bench, staged, job(staged, schema=99, runtime="nothing"))
    assert (done.status, done.exit_code) == ("failed", 1)
    assert "schema 99" in done.reason


def test_a_runtime_without_a_backend_is_refused_by_name(bench, staged):
    done = launch(bench, staged, job(staged, runtime="tflite"))
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
