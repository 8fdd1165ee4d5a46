"""How does the static ncnn runner compare with the Python one? `uv run python benchmarks/static_runner.py`

Both compute the same artifact and alternate in blocks of 50 ms on this machine, so that its drift cancels;
each pair of processes gives one ratio of medians, the figure of a case is the median over its pairs.
"""

import argparse
import math
import statistics
from pathlib import Path

import machine
import msgspec

from devices.local import LocalDevice
from harness.arm import make_arm
from harness.bundles.compilers import abi_of
from harness.bundles.native import native_bundle
from harness.cache import Cache
from harness.matrix import Filters, split_names
from harness.pairing import run_pair
from harness.plan import Ask, make_plan
from harness.platforms import HOST
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.schedule import EFFORTS
from harness.spec import Pair

PROJECT = Path(__file__).parent.parent
NCNN = RUNTIMES["ncnn"]


def main() -> None:
    """Print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ppocr_cls")
    parser.add_argument("--precision", default="fp32,fp16")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of processes per case, at least 2")
    parser.add_argument("--seconds", type=float, default=2.0, help="alternation per pair")
    given = parser.parse_args()
    abi = abi_of(HOST.processor)
    if abi is None:
        raise SystemExit(f"there is no native runner for {HOST.processor}")
    print(machine.describe())
    cache = Cache()
    bundle = native_bundle(cache, NCNN, NCNN.default_version, abi, lambda *_: None)
    filters = Filters(
        models=split_names([given.model]), runtimes=("ncnn",), precisions=split_names([given.precision])
    )
    plan = make_plan(Ask(zoo=PROJECT / "suites" / "zoo.toml", filters=filters))
    print(f"{'case':34} {'python ms':>9} {'static / python':>15} {'spread of pairs':>16}")
    with LocalDevice("local") as device:
        for case in sorted(target.case for target in plan.targets):
            ready = make_ready(cache, plan.zoo[case.model], plan.base, case)
            python = make_arm(device, ready, EFFORTS["standard"], cache)
            static = make_arm(
                device, msgspec.structs.replace(ready, bundle=bundle), EFFORTS["standard"], cache
            )
            pairs = [
                run_pair(device, static, python, seconds=given.seconds, swapped=bool(number % 2))
                for number in range(given.pairs)
            ]
            ratios = [ratio_of(pair) for pair in pairs]
            samples = [sample for pair in pairs for block in pair.against_ns for sample in block]
            label = f"{case.model} {case.precision}"
            print(
                f"{label:34} {statistics.median(samples) / 1e6:9.3f} {statistics.median(ratios):15.4f} "
                f"{statistics.stdev(ratios):16.4f}"
            )


def ratio_of(pair: Pair) -> float:
    """Static over Python, of two processes: the middle of the ratios of neighbouring blocks."""
    neighbours = zip(pair.candidate_ns, pair.against_ns, strict=False)
    return math.exp(
        statistics.median(
            math.log(statistics.median(static) / statistics.median(python)) for static, python in neighbours
        )
    )


if __name__ == "__main__":
    main()
