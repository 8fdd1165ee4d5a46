"""What converting costs: `uv run python benchmarks/conversion.py [--megabytes 500]`

A network of matrices of one size is made, frozen and converted for every runtime and precision. Each line is
one conversion: seconds the first time and the second, and the peak of memory (PSS) of this process and all it
started. Asked for: 0 s the second time, and under 4 GB for a model of 500 MB.
"""

import argparse
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import machine

from harness.cache import Cache, file_sha256
from harness.convert import Format, artifact_key, make_artifact
from harness.convert.calibration import calibration_for
from harness.environments import environment
from harness.errors import PocketbenchError
from harness.models.prepare import prepare
from harness.platforms import HOST
from harness.runtimes import RUNTIMES
from harness.spec import Model, TensorSpec
from harness.toolchains import ONNX, run_tool

Result = TypeVar("Result")
WIDTH = 2048
ASKED_MIB = 4 * 1024

MAKE = f"""
import sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

layers, path = int(sys.argv[1]), sys.argv[2]
source = np.random.default_rng(0)
nodes, weights, name = [], [], "x"
for number in range(layers):
    weight = (source.standard_normal(({WIDTH}, {WIDTH})) / {WIDTH} ** 0.5).astype(np.float32)
    weights.append(numpy_helper.from_array(weight, f"w{{number}}"))
    nodes.append(helper.make_node("MatMul", [name, f"w{{number}}"], [f"m{{number}}"]))
    nodes.append(helper.make_node("Tanh", [f"m{{number}}"], [name := f"y{{number}}"]))
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, {WIDTH}])
graph = helper.make_graph(nodes, "big", [value("x")], [value(name)], weights)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
"""


def main() -> None:
    """Print one line per conversion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runtime", action="append")
    given = parser.parse_args()
    print(machine.describe())
    cache = Cache()
    with TemporaryDirectory(prefix="pocketbench-benchmark-") as scratch:
        source = make_network(cache, Path(scratch), given.megabytes)
        model = Model(
            name="big",
            source=f"file:{source}",
            sha256=file_sha256(source),
            feed="stand_in",
            inputs=(TensorSpec(name="x", shape=(1, WIDTH)),),
        )
        print(f"a model of {source.stat().st_size / 2**20:.0f} MiB\n")
        print(f"{'conversion':28} {'first s':>8} {'second s':>9} {'peak MiB':>9}   artifact")
        first_s, peak_mib, prepared = watched(lambda: prepare(cache, model, Path(scratch)))
        second_s, _, _ = watched(lambda: prepare(cache, model, Path(scratch)))
        print(f"{'freezing':28} {first_s:8.1f} {second_s:9.2f} {peak_mib:9.0f}")
        worst_mib = peak_mib
        for runtime in RUNTIMES.values():
            if given.runtime and runtime.name not in given.runtime:
                continue
            for precision in runtime.precisions:
                form = Format(
                    runtime=runtime.name,
                    version=runtime.default_version,
                    precision=precision,
                    backend=runtime.backends[0],
                    arch=HOST.processor,
                )
                name = f"{runtime.name} {precision}"
                try:
                    shown = calibration_for(cache, model, prepared, precision, Path(scratch))
                    cache.forget("artifacts", artifact_key(prepared, form, shown))
                    make = partial(make_artifact, cache, prepared, form, shown)
                    first_s, peak_mib, made = watched(make)
                    second_s, _, _ = watched(make)
                    told = f"{made.record.size_bytes / 2**20:.0f} MiB"
                    cache.forget("artifacts", artifact_key(prepared, form, shown))
                except PocketbenchError as error:
                    print(f"{name:28} {error}"[:150], flush=True)
                    continue
                worst_mib = max(worst_mib, peak_mib)
                print(f"{name:28} {first_s:8.1f} {second_s:9.2f} {peak_mib:9.0f}   {told}", flush=True)
    print(f"\nhighest peak {worst_mib:.0f} MiB; asked: under {ASKED_MIB} MiB for a model of 500 MB")


def make_network(cache: Cache, folder: Path, megabytes: int) -> Path:
    """An ONNX file of about so many megabytes."""
    tools = environment(cache, ONNX)
    script, path = folder / "make.py", folder / "big.onnx"
    script.write_text(MAKE)
    layers = max(1, round(megabytes * 1e6 / (4 * WIDTH**2)))
    run_tool("making", tools.command(str(script), str(layers), str(path)), cwd=folder, env=tools.variables())
    return path


def watched(work: Callable[[], Result]) -> tuple[float, float, Result]:
    """Seconds, peak MiB of all our processes, and the result of `work`."""
    peak, ended = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, sum(map(pss_mib, family(os.getpid()))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    try:
        result = work()
        return time.monotonic() - began, peak, result
    finally:
        ended.set()
        watcher.join()


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return found


def pss_mib(pid: int) -> float:
    """Proportional set size of a process; 0 when it is gone."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return 0.0


if __name__ == "__main__":
    main()
