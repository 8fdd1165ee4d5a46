"""What the default run costs: `uv run python benchmarks/default_run.py [--cold]`

Runs `pytest suites/ --device=local` as a user does and prints its wall time, and that over the process time
that no harness could avoid: for every launch a bare process that imports numpy (inputs are its arrays) and
the runtime, measured in the same environment and run, and the launch's load, first inference, warm-up and
timed iterations. Asked for: at most 1.15, and under 4 minutes warm; with --cold (empty caches: every package,
bundle and conversion is made) under 12 minutes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import machine

from harness.environments import ISOLATED
from harness.results import RunStore, StoredRun
from harness.spec import Measurement, RunnerResult

PROJECT = Path(__file__).parent.parent
MODULES = {"onnxruntime": "onnxruntime", "mnn": "MNN", "ncnn": "ncnn", "paddlelite": "paddlelite.lite"}


def main() -> None:
    """Run once (after a run that warms the caches, unless --cold) and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cold", action="store_true", help="with empty caches of pocketbench and uv")
    given, pytest_arguments = parser.parse_known_args()
    print(machine.describe())
    with TemporaryDirectory(prefix="pocketbench-benchmark-") as scratch:
        folder = Path(scratch)
        environment = dict(os.environ)
        if given.cold:
            environment |= {"POCKETBENCH_CACHE": str(folder / "cache"), "UV_CACHE_DIR": str(folder / "uv")}
        else:
            # What is missing in the caches is made here, and is not part of the figure.
            run_suite(folder / "before", [*pytest_arguments, "--effort=quick"], environment)
        wall_s = run_suite(folder / "results", pytest_arguments, environment)
        stored = RunStore(folder / "results").load("last")
        unavoidable_s, launches = sum_unavoidable(stored)
    limit_min = 12 if given.cold else 4
    print(f"cases {len(stored.measurements)}, launches {launches}")
    print(f"wall time          {wall_s:8.1f} s   asked: under {limit_min * 60} s")
    print(f"unavoidable time   {unavoidable_s:8.1f} s")
    if not given.cold:
        print(f"ratio              {wall_s / unavoidable_s:8.3f}     asked: at most 1.15")


def run_suite(results: Path, arguments: list[str], environment: dict[str, str]) -> float:
    """Seconds of wall time of the user's command."""
    command = ["uv", "run", "pytest", "suites/", "--device=local", "-q", f"--results-dir={results}"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, *arguments], cwd=PROJECT, env=environment, check=False, capture_output=True, text=True
    )
    wall_s = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"the suite failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return wall_s


def sum_unavoidable(stored: StoredRun) -> tuple[float, int]:
    """Seconds that every harness would spend on these launches, and how many launches there were."""
    starts: dict[str, float] = {}
    total, launches = 0.0, 0
    for measurement in stored.measurements:
        for result in measurement.results:
            runtime = measurement.case.runtime
            if runtime not in starts:
                starts[runtime] = bare_import_s(measurement)
            total += starts[runtime] + spent_s(result)
            launches += 1
    return total, launches


def spent_s(result: RunnerResult) -> float:
    """Load to last timed iteration of one launch."""
    warmup_s = sum(result.warmup.samples_ns) / 1e9
    timed_s = sum(result.samples_ns) / 1e9
    return result.load_s + result.first_s + warmup_s + timed_s


def bare_import_s(measurement: Measurement) -> float:
    """Median seconds of a process that imports numpy and the runtime and does nothing else."""
    python, module = measurement.command[0], MODULES[measurement.case.runtime]
    environment = dict(os.environ) | measurement.environment
    taken = []
    for _ in range(11):
        began = time.monotonic()
        subprocess.run(
            [python, *ISOLATED, "-c", f"import numpy, {module}"],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
