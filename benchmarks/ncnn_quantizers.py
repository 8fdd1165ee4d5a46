"""Our quantizer for ncnn beside ncnn's own: `uv run python benchmarks/ncnn_quantizers.py [MODEL ...]`

For models of the zoo, how near to fp32 their int8 networks compute, by each calibration method of ours and,
where POCKETBENCH_NCNN_TOOLS names ncnn2table and ncnn2int8, by these. Then how the ranges of both compare:
for each layer's input, the largest value that ncnn2table's `kl` keeps, by what a method of ours keeps.
"""

import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import machine

from harness.bisect import look_whole, make_bench
from harness.cache import Cache
from harness.convert import Format, make_artifact
from harness.convert.calibration import CalibrationPlan
from harness.convert.ncnn_tools import SETTING, TABLE, NcnnTools
from harness.matrix import Filters, build_cases
from harness.models.zoo import load_zoo
from harness.spec import Case, Model

ZOO = Path(__file__).parent.parent / "suites" / "zoo.toml"
MODELS = ("ppocr_cls", "ppocr_det")
OURS = ("percentile", "minmax", "kl")


def main() -> None:
    """Print a table for each model that is named, or for the usual two."""
    known, tools = load_zoo(ZOO), os.environ.get(SETTING)
    print(machine.describe())
    print(f"{SETTING}: {NcnnTools.supplied().version if NcnnTools.supplied() else 'not set'}")
    for name in sys.argv[1:] or MODELS:
        cases = build_cases(known, Filters(models=(name,), runtimes=("ncnn",), precisions=("int8",)))
        case = next(one for one in cases if one.backend == "cpu")
        found = {}
        for method in OURS:
            with named(None):
                found[method] = quantized(known[name], case, method, f"ours, {method}")
        if tools:
            with named(tools):
                theirs = quantized(known[name], case, "kl", "ncnn's, kl")
            for method, ranges in found.items():
                print(f"  {name:<10} ranges, ncnn's kl / our {method}: {compared(theirs, ranges)}")


@contextmanager
def named(folder: str | None) -> Iterator[None]:
    """While the block runs, the setting names `folder`, or nothing."""
    before = os.environ.pop(SETTING, None)
    if folder:
        os.environ[SETTING] = folder
    try:
        yield
    finally:
        os.environ.pop(SETTING, None)
        if before:
            os.environ[SETTING] = before


def quantized(model: Model, case: Case, method: str, label: str) -> Mapping[str, float]:
    """Convert and run once, print how near it is; returns each layer's scale of its input."""
    cache = Cache()
    bench = make_bench(cache, model, ZOO.parent, case, CalibrationPlan(method=method))
    for output in look_whole(cache, bench).judged.values():
        print(f"  {model.name:<10} {label:<17} cosine {output.cosine:.6f}  max_rel {output.max_rel:.4f}")
    made = make_artifact(cache, bench.prepared, Format.of(case), bench.calibration)
    lines = (line.split() for line in (made.path / TABLE).read_text().splitlines())
    return {name: float(scales[0]) for name, *scales in lines if not name.endswith("_param_0")}


def compared(theirs: Mapping[str, float], ours: Mapping[str, float]) -> str:
    """A scale is 127 / range, so the quotient of ranges is that of scales the other way round."""
    quotients = sorted(ours[name] / theirs[name] for name in ours.keys() & theirs.keys())
    near = sum(0.95 < quotient < 1.05 for quotient in quotients)
    return (
        f"median {statistics.median(quotients):.3f}, {quotients[0]:.3f} to {quotients[-1]:.3f}, "
        f"within 5 % in {near} of {len(quotients)} layers"
    )


if __name__ == "__main__":
    main()
