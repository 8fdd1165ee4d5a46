"""From which operator on is a model wrong that is converted without the project's rewritings?

    uv run python benchmarks/first_divergence.py ppocr_det --runtime mnn --precision w8

The search is that of `pocketbench parity --bisect`, which sees models as they are measured: with the
rewritings that cure what is known (docs/runtimes.md). Artifacts made here are thrown away.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from harness.bisect import diagnose, look_whole, make_bench
from harness.bisect.conclusion import figures
from harness.cache import Cache
from harness.convert import CONVERTERS
from harness.errors import PocketbenchError
from harness.matrix import Filters, build_cases
from harness.models.zoo import load_zoo
from harness.runtimes import RUNTIMES
from harness.spec import PRECISIONS

ROOT = Path(__file__).parent.parent
CONVERTED = ("artifacts", "paddle-models")
"""What a cache holds of conversions, which are others without the rewritings."""


def main() -> None:
    """Print what the search finds for the arguments."""
    arguments = parsed()
    zoo = ROOT / "suites" / "zoo.toml"
    models = load_zoo(zoo)
    wanted = Filters(
        models=(arguments.model,), runtimes=(arguments.runtime,), precisions=(arguments.precision,)
    )
    case = build_cases(models, wanted)[0]
    with without_conversions(Cache()) as cache, as_is(case.runtime):
        bench = make_bench(cache, models[case.model], zoo.parent, case)
        whole = look_whole(cache, bench)
        for judged in whole.judged.values():
            print(f"{judged.name}: {figures(judged)}")
        if not whole.wrong:
            return
        found = diagnose(
            cache,
            bench,
            whole,
            lambda done, total: print(f"look {done + 1} of about {total}", file=sys.stderr),
        )
    for judged in found.finding.judged:
        mark = " " if judged.ok else "!"
        print(f"{mark}{found.operators[judged.name]:<18} {judged.name}: {figures(judged)}")
    print(found.text)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="a model of suites/zoo.toml")
    parser.add_argument("--runtime", required=True, choices=sorted(RUNTIMES))
    parser.add_argument("--precision", required=True, choices=PRECISIONS)
    return parser.parse_args()


@contextlib.contextmanager
def without_conversions(cache: Cache) -> Iterator[Cache]:
    """A cache with all that `cache` holds but conversions, which is thrown away."""
    with TemporaryDirectory(prefix="pocketbench-") as scratch:
        for kind in cache.root.iterdir():
            if kind.name not in CONVERTED:
                Path(scratch, kind.name).symlink_to(kind)
        yield Cache(Path(scratch))


@contextlib.contextmanager
def as_is(runtime: str) -> Iterator[None]:
    """Leave the rewritings of a runtime's converter out."""
    module = sys.modules[CONVERTERS[runtime].convert.__module__]
    with patch.object(module, "rewritten", lambda _cache, _script, model, *_: model, create=True):
        yield


if __name__ == "__main__":
    try:
        main()
    except PocketbenchError as error:
        sys.exit(f"{error}")
