"""Is the latency through the harness the latency? `uv run python benchmarks/fidelity.py`

The real runner in serve mode and a plain script in the same runtime (benchmarks/bare) alternate in blocks
of 50 ms, so that the machine's drift cancels; each pair of processes gives one ratio of medians, and the
figure of a case is the median over its pairs. Within 2 % is asked for above 1 ms, 5 % below.
"""

import argparse
import json
import math
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import machine
import msgspec

from devices.local import LocalDevice
from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.interpreters import find_python
from harness.launch import Staged, feed_files, runner_tree, stage
from harness.matrix import Filters, split_names
from harness.plan import Ask, make_plan
from harness.preparation import Ready, make_ready
from harness.runtimes import RUNTIMES
from harness.spec import Job, TimingPlan, WarmupPlan

BARE = Path(__file__).parent / "bare"
PROJECT = Path(__file__).parent.parent


def main() -> None:
    """Print one line per case and the worst of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="silero_vad,ppocr_cls,ppocr_det")
    parser.add_argument("--runtime", default="", help="default: all of them")
    parser.add_argument("--pairs", type=int, default=9, help="pairs of processes per case, at least 2")
    parser.add_argument("--seconds", type=float, default=2.0, help="alternation per pair")
    given = parser.parse_args()
    print(machine.describe())
    print(f"{'case':34} {'bare ms':>9} {'harness / bare':>15} {'spread of pairs':>16}  asked")
    cache = Cache()
    filters = Filters(
        models=split_names([given.model]), runtimes=split_names([given.runtime]), precisions=("fp32",)
    )
    plan = make_plan(Ask(zoo=PROJECT / "suites" / "zoo.toml", filters=filters))
    held = True
    with LocalDevice("local") as device:
        for case in sorted(target.case for target in plan.targets):
            try:
                ready = make_ready(cache, plan.zoo[case.model], plan.base, case)
            except PocketbenchError as error:
                print(f"{case.model + ' ' + case.runtime:34} not measured: {error}")
                continue
            ratios, bare_ms = zip(
                *(one_pair(device, ready, cache, given.seconds, number) for number in range(given.pairs)),
                strict=True,
            )
            ratio, latency = statistics.median(ratios), statistics.median(bare_ms)
            limit = 0.02 if latency > 1.0 else 0.05
            close = abs(ratio - 1) <= limit
            held = held and close
            print(
                f"{case.model + ' ' + case.runtime:34} {latency:9.3f} {ratio:15.4f} "
                f"{statistics.stdev(ratios):16.4f}  within {limit:.0%}: {'yes' if close else 'NO'}"
            )
    print("all within what is asked" if held else "NOT all within what is asked")


def one_pair(
    device: LocalDevice, ready: Ready, cache: Cache, seconds: float, number: int
) -> tuple[float, float]:
    """Harness over bare, and the bare median in ms, of two fresh processes."""
    runtime = RUNTIMES[ready.case.runtime]
    python = str(find_python(runtime.python))
    runner = runner_tree(cache)
    staged = stage(
        device,
        runner=runner,
        bundle=ready.bundle,
        artifact=ready.artifact_files,
        feed=feed_files(ready.feed),
        inputs=ready.inputs,
        environment=runtime.variables(ready.case.threads),
    )
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "job.json").write_bytes(msgspec.json.encode(job_of(ready, staged)))
        environment = dict(staged.environment)
        arms = [
            {"command": [*staged.command, "job.json", "--serve"], "cwd": scratch, "env": environment},
            {"command": bare_command(ready, staged, python), "cwd": scratch, "env": environment},
        ]
        # The first of a pair starts earlier and lies elsewhere in memory: take turns.
        order = {
            "arms": arms[:: -1 if number % 2 else 1],
            "block_s": 0.05,
            "target_s": seconds,
            "out": f"{scratch}/pairs.json",
        }
        (folder / "order.json").write_text(json.dumps(order))
        done = device.run(
            [python, "-s", "-S", "-m", "runner.alternate", f"{scratch}/order.json"],
            env={"PYTHONPATH": str(runner.path)},
            timeout_s=300,
        )
        if done.exit_code != 0:
            raise SystemExit(f"{ready.case.key}: {done.stderr.decode()[-2000:]}")
        blocks = json.loads((folder / "pairs.json").read_text())["blocks"]
    harness, bare = (1, 0) if number % 2 else (0, 1)
    medians = [(block["arm"], statistics.median(block["samples_ns"])) for block in blocks]
    pairs = [dict(medians[at : at + 2]) for at in range(0, len(medians) - 1, 2)]
    ratio = math.exp(statistics.median(math.log(pair[harness] / pair[bare]) for pair in pairs))
    return ratio, statistics.median(pair[bare] for pair in pairs) / 1e6


def job_of(ready: Ready, staged: Staged) -> Job:
    """The job as a measurement would have it."""
    return Job(
        runtime=ready.case.runtime,
        backend=ready.case.backend,
        precision=ready.case.precision,
        threads=ready.case.threads,
        files=staged.files,
        inputs=staged.inputs,
        outputs=ready.outputs,
        warmup=WarmupPlan(max_s=1.0),
        timing=TimingPlan(),
        options=ready.artifact.job_options,
    )


def bare_command(ready: Ready, staged: Staged, python: str) -> list[str]:
    """The plain script of the case's runtime, on the same files."""
    files, threads = staged.files, str(ready.case.threads)
    named = [f"{item.name}={item.file}" for item in staged.inputs]
    options = ready.artifact.job_options
    axes = options.get("batch_axes", [None] * len(named))
    with_axes = [
        item.file if axis is None else f"{item.file}:{axis}"
        for item, axis in zip(staged.inputs, axes, strict=True)
    ]
    names = options.get("input_names", {})
    renamed = [f"{names.get(item.name, item.name)}={item.file}" for item in staged.inputs]
    arguments = {
        "onnxruntime": lambda: [files["onnx"], threads, *named],
        "mnn": lambda: [files["mnn"], threads, *named],
        "ncnn": lambda: [files["param"], files["bin"], threads, *with_axes],
        "paddlelite": lambda: [files["pdmodel"], files["pdiparams"], threads, *renamed],
    }[ready.case.runtime]()
    return [python, "-s", "-S", str(BARE / f"{ready.case.runtime}_loop.py"), *arguments]


if __name__ == "__main__":
    main()
