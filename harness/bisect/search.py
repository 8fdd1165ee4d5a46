"""Find the operator that a conversion gets wrong, in few looks at few tensors.

A look is a conversion that keeps some inner tensors as outputs. The search is that of `git bisect` over a
graph: there is a tensor known to be wrong, and what flows into one that is right is taken to be right. It
ends with a look at the tensor and all that it is computed from together, which does not rest on that.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from harness.bisect.graph import Graph
from harness.spec import Frozen, OutputParity

CUTS = 4
"""Tensors kept in one look: n tensors take log5(n) looks, and a converter still fuses nearly as without."""

NOTABLE, NOTABLE_DB = 2.0, 6.0
"""A change of the error by less than a factor of two says nothing of one operator."""

MOST_SKIPPED = 12
"""A converter that cannot keep so many tensors keeps hardly any; to try the others takes hours."""

Kind = Literal["operator", "growth", "fusion", "border", "unreached"]


class Look(Frozen, frozen=True, kw_only=True):
    """How far the model's outputs and the inner tensors `kept` are from the reference.

    With a `failure` nothing is known: it could not be converted, or not run.
    """

    kept: tuple[str, ...] = ()
    judged: dict[str, OutputParity] = {}
    failure: str = ""

    @property
    def wrong(self) -> list[str]:
        """Names of the tensors that are outside the limits."""
        return [name for name, one in self.judged.items() if not one.ok]


class Finding(Frozen, frozen=True, kw_only=True):
    """What the search found.

    - operator: the first of `tensors` is wrong though all that it is computed from is right
    - growth: as operator, but its inputs are nearly as far off: the error has come little by little
    - fusion: the error is gone when `tensors` are kept
    - border: it depends on which tensors are kept, and by little, whether anything is wrong
    - unreached: the first of `tensors` is wrong or one before it; too many cannot be kept to tell

    `judged` are all tensors that were looked at, in topological order; `skipped` tensors that could not be
    kept, and why; `alone` the model's outputs without kept tensors, `cured` with those that make it right.
    """

    kind: Kind
    tensors: tuple[str, ...]
    judged: tuple[OutputParity, ...]
    skipped: dict[str, str]
    alone: dict[str, OutputParity]
    cured: dict[str, OutputParity] = {}
    looks: int


class Search:
    """One search; `first` is the look without kept tensors, in which something is wrong."""

    def __init__(self, graph: Graph, first: Look, look: Callable[[Sequence[str]], Look]) -> None:
        self._graph = graph
        self._first = first
        self._look = look
        self._judged = dict(first.judged)
        self._skipped: dict[str, str] = {}
        self._looks = 0

    def run(self) -> Finding:
        """Look until the first wrong tensor is found."""
        suspect = self._graph.ordered(self._first.wrong)[0]
        while True:
            probes = spread(self._open(suspect), CUTS)
            confirming = not probes
            looks = self._seen(probes or self._surroundings(suspect))
            if len(self._skipped) > MOST_SKIPPED:
                return self._finding("unreached", (suspect,))
            for look in looks:
                if not look.wrong:
                    return self._without_error(look)
            earlier = self._first_wrong(suspect)
            if confirming and earlier == suspect:
                return self._settled(suspect)
            suspect = earlier

    def inputs(self, name: str) -> list[str]:
        """What `name` is computed from, of the tensors that can be looked at."""
        return [one for one in self._graph[name].inputs if one in self._graph and self._can_be_kept(one)]

    def _can_be_kept(self, name: str) -> bool:
        return self._graph[name].can_be_kept and name not in self._skipped

    def _open(self, suspect: str) -> list[str]:
        """Tensors before `suspect` of which nothing is known, in topological order."""
        before = self._graph.origins(suspect)
        right = [name for name in before if name in self._judged and self._judged[name].ok]
        unknown = before - self._graph.origins(*right) - set(right)
        return self._graph.ordered(name for name in unknown if self._can_be_kept(name))

    def _surroundings(self, suspect: str) -> list[str]:
        return [*self.inputs(suspect), *([suspect] if suspect not in self._first.judged else [])]

    def _first_wrong(self, suspect: str) -> str:
        """The first wrong tensor among those that `suspect` is computed from, or itself."""
        before = self._graph.origins(suspect)
        wrong = [name for name in before if name in self._judged and not self._judged[name].ok]
        return self._graph.ordered([*wrong, suspect])[0]

    def _seen(self, names: Sequence[str]) -> list[Look]:
        """Looks that keep `names`: one, or several where what cannot be kept has to be told from the rest."""
        if not names:
            return []
        self._looks += 1
        look = self._look(names)
        if not look.failure:
            self._judged.update(look.judged)
            return [look]
        if len(names) == 1:
            self._skipped[names[0]] = look.failure
            return []
        half = len(names) // 2
        return [*self._seen(names[:half]), *self._seen(names[half:])]

    def _settled(self, suspect: str) -> Finding:
        if self._judged[suspect].ok:
            # Seen wrong before, among other kept tensors.
            return self._finding("border", (suspect,))
        return self._finding("growth" if self._has_grown(suspect) else "operator", (suspect,))

    def _has_grown(self, name: str) -> bool:
        """Whether an input of `name` is off nearly as far as itself, by either figure.

        By signal to noise alone an exact addition would be to blame that takes away what was common to all
        values, and by the worst value alone a Softmax.
        """
        own = self._judged[name]
        before = [self._judged[one] for one in self.inputs(name) if one in self._judged]
        return any(is_nearly(one, own) for one in before)

    def _without_error(self, look: Look) -> Finding:
        """What it means that nothing is wrong in `look`: as few kept tensors as do it."""
        if not self._is_notably_better(look):
            return self._finding("border", look.kept, look)
        while len(look.kept) > 1:
            half = len(look.kept) // 2
            halves = (look.kept[:half], look.kept[half:])
            parts = (one for names in halves for one in self._seen(names))
            smaller = next((one for one in parts if not one.wrong), None)
            if smaller is None:
                break
            look = smaller
        return self._finding("fusion", look.kept, look)

    def _is_notably_better(self, look: Look) -> bool:
        for name in self._first.wrong:
            before, now = self._first.judged[name].snr_db, look.judged[name].snr_db
            if before is None or now is None or now - before >= NOTABLE_DB:
                return True
        return False

    def _finding(self, kind: Kind, tensors: Sequence[str], cured: Look | None = None) -> Finding:
        return Finding(
            kind=kind,
            tensors=tuple(tensors),
            judged=tuple(self._judged[name] for name in self._graph.ordered(self._judged)),
            skipped=dict(self._skipped),
            alone=self._first.judged,
            cured=cured.judged if cured else {},
            looks=self._looks,
        )


def spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of `names`, evenly spaced, none at an end unless all are taken."""
    if len(names) <= count:
        return list(names)
    return [names[(number + 1) * len(names) // (count + 1)] for number in range(count)]


def is_nearly(before: OutputParity, after: OutputParity) -> bool:
    """Whether the error of `after` is less than twice that of `before`, by signal to noise or worst value."""
    if before.snr_db is not None and after.snr_db is not None and before.snr_db - after.snr_db < NOTABLE_DB:
        return True
    return bool(before.max_rel and after.max_rel and after.max_rel < NOTABLE * before.max_rel)
