"""Why is it wrong? Find the operator that a conversion gets wrong.

bench = make_bench(cache, model, base, case)
diagnosis = diagnose(cache, bench, report)
print(diagnosis.text)
"""

import math
from collections.abc import Callable, Sequence

from harness.bisect.bench import Bench, check_freezing, look_inside, look_whole, make_bench
from harness.bisect.conclusion import conclude
from harness.bisect.cuts import read_graph
from harness.bisect.graph import Graph
from harness.bisect.search import CUTS, Finding, Look, Search
from harness.cache import Cache
from harness.spec import Frozen

__all__ = ["Bench", "Diagnosis", "diagnose", "look_whole", "make_bench"]


class Diagnosis(Frozen, frozen=True, kw_only=True):
    """A finding, the operator of each tensor that was looked at, and the conclusion in words."""

    finding: Finding
    operators: dict[str, str]
    text: str


def diagnose(cache: Cache, bench: Bench, whole: Look, report: Callable[[int, int], None]) -> Diagnosis:
    """Search in a model whose outputs are wrong; `whole` is the look at these.

    `report(done, total)` is told how many looks are done, and how many it will about be. Raises
    UnsupportedError when the model cannot be opened at all.
    """
    check_freezing(cache, bench)
    graph = read_graph(cache, bench.prepared)
    expected = math.ceil(math.log(len(graph.tensors) + 1, CUTS + 1)) + 1
    done = 0

    def look(names: Sequence[str]) -> Look:
        nonlocal done
        report(done, max(expected, done + 1))
        done += 1
        return look_inside(cache, bench, names)

    finding = Search(graph, whole, look).run()
    return Diagnosis(finding=finding, operators=_operators(graph, finding), text=conclude(graph, finding))


def _operators(graph: Graph, finding: Finding) -> dict[str, str]:
    return {one.name: graph[one.name].operator for one in finding.judged}
