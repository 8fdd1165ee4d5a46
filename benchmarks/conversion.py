"""What converting costs: `uv run python benchmarks/conversion.py [--megabytes 500] [--network conv]`

A network of layers of one size is made, frozen and converted for every runtime and precision. Each line is
one conversion: seconds the first time and the second, and the peak of memory (PSS) of this process and all it
started. Asked for: 0 s the second time, and under 4 GB for a model of 500 MB. From 2000 MB on the network
has its weights in a file beside it, and is handed to the converters so.
"""

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import machine
import msgspec

from harness.cache import Cache
from harness.convert import Format, artifact_key, make_artifact
from harness.convert.calibration import CalibrationPlan, calibration_for
from harness.environments import environment
from harness.errors import PocketbenchError
from harness.models.prepare import Prepared, prepare
from harness.models.sources.folders import content_sha256
from harness.platforms import HOST
from harness.runtimes import RUNTIMES
from harness.spec import Model, TensorSpec
from harness.toolchains import ONNX, run_tool

Result = TypeVar("Result")
ASKED_MIB = 4 * 1024
LARGEST_FILE_MB = 2000

NETWORKS: Final[dict[str, Any]] = {
    "matmul": {"operator": "MatMul", "weight": [2048, 2048], "shape": [1, 2048], "after": "Tanh"},
    "conv": {"operator": "Conv", "weight": [512, 512, 3, 3], "shape": [1, 512, 7, 7], "after": "Relu"},
}
"""A layer of each kind, and the shape of the tensors between."""

MAKE = """
import json, math, sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

layers, path, beside, kind = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "beside", json.loads(sys.argv[4])
source, size = np.random.default_rng(0), kind["weight"]
scale = (math.prod(size) / size[0]) ** -0.5
pads = {"pads": [1, 1, 1, 1]} if kind["operator"] == "Conv" else {}
nodes, weights, name = [], [], "x"
for number in range(layers):
    values = source.standard_normal(size, np.float32) * np.float32(scale)
    weights.append(numpy_helper.from_array(values, f"w{number}"))
    nodes.append(helper.make_node(kind["operator"], [name, f"w{number}"], [f"m{number}"], **pads))
    nodes.append(helper.make_node(kind["after"], [f"m{number}"], [name := f"y{number}"]))
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, kind["shape"])
graph = helper.make_graph(nodes, "big", [value("x")], [value(name)], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
onnx.save(model, path, save_as_external_data=beside, location="big.onnx.data" if beside else None)
"""


def main() -> None:
    """Print one line per conversion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--network", choices=NETWORKS, default="matmul")
    parser.add_argument("--runtime", action="append")
    parser.add_argument("--precision", action="append")
    parser.add_argument("--samples", type=int, default=16, help="what int8 is calibrated with")
    given = parser.parse_args()
    print(machine.describe())
    cache = Cache()
    with TemporaryDirectory(prefix="pocketbench-benchmark-") as scratch:
        model = make_network(cache, Path(scratch, "model"), given.megabytes, given.network)
        print(f"{'conversion':34} {'first s':>8} {'second s':>9} {'peak MiB':>9}   artifact")
        first_s, worst_mib, prepared = watched(lambda: prepare(cache, model, Path(scratch)))
        second_s, _, _ = watched(lambda: prepare(cache, model, Path(scratch)))
        print(f"{'freezing':34} {first_s:8.1f} {second_s:9.2f} {worst_mib:9.0f}", flush=True)
        for form in wanted_formats(given.runtime, given.precision):
            plan = CalibrationPlan(count=given.samples)
            peak_mib = convert(cache, model, prepared, form, plan)
            worst_mib = max(worst_mib, peak_mib)
    print(f"\nhighest peak {worst_mib:.0f} MiB; asked: under {ASKED_MIB} MiB for a model of 500 MB")


def make_network(cache: Cache, folder: Path, megabytes: int, network: str) -> Model:
    """A model of about so many megabytes, made in `folder`; prints its size."""
    tools = environment(cache, ONNX)
    folder.mkdir()
    script, path, kind = folder.with_name("make.py"), folder / "big.onnx", NETWORKS[network]
    script.write_text(MAKE)
    layers = max(1, round(megabytes * 1e6 / (4 * prod(kind["weight"]))))
    form = "beside" if megabytes >= LARGEST_FILE_MB else "within"
    order = [str(script), str(layers), str(path), form, msgspec.json.encode(kind).decode()]
    run_tool("making", tools.command(*order), cwd=folder, env=tools.variables())
    source = folder if form == "beside" else path
    size_bytes = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{layers} layers {kind['operator']} and {kind['after']}, {size_bytes / 2**20:.0f} MiB\n")
    return Model(
        name="big",
        source=f"file:{source}",
        sha256=content_sha256(source),
        feed="stand_in",
        inputs=(TensorSpec(name="x", shape=tuple(kind["shape"])),),
    )


def wanted_formats(runtimes: list[str] | None, precisions: list[str] | None) -> Iterator[Format]:
    """Every runtime and precision, and what they are made for where that makes another conversion."""
    for runtime in RUNTIMES.values():
        if runtimes and runtime.name not in runtimes:
            continue
        places = [("cpu", HOST.processor)]
        if "mobile" in runtime.backends:
            places += [("mobile", HOST.processor), ("mobile", "aarch64")]
        for backend, arch in places:
            for precision in runtime.precisions:
                if not precisions or precision in precisions:
                    yield Format(
                        runtime=runtime.name,
                        version=runtime.default_version,
                        precision=precision,
                        backend=backend,
                        arch=arch,
                    )


def convert(cache: Cache, model: Model, prepared: Prepared, form: Format, plan: CalibrationPlan) -> float:
    """Convert anew and print what it cost; returns the peak in MiB, 0 where there is no conversion."""
    place = "" if form.backend == "cpu" else f" {form.backend} {form.arch}"
    name = f"{form.runtime} {form.precision}{place}"
    try:
        shown = calibration_for(cache, model, prepared, form.precision, Path(), plan)
        key = artifact_key(prepared, form, shown)
        cache.forget("artifacts", key)
        make = partial(make_artifact, cache, prepared, form, shown)
        first_s, peak_mib, made = watched(make)
        second_s, _, _ = watched(make)
    except PocketbenchError as error:
        print(f"{name:34} {error}"[:190], flush=True)
        return 0.0
    told = f"{made.record.size_bytes / 2**20:.0f} MiB"
    cache.forget("artifacts", key)
    print(f"{name:34} {first_s:8.1f} {second_s:9.2f} {peak_mib:9.0f}   {told}", flush=True)
    return peak_mib


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
