"""What a search found, for people: one clear conclusion, and what it rests on."""

from harness.bisect.graph import Graph, Tensor
from harness.bisect.search import Finding
from harness.spec import OutputParity

NAMED = 4
"""Tensors that are named where it matters little which they are."""


def conclude(graph: Graph, finding: Finding) -> str:
    """The finding in a few sentences; tensors are called by the names of their operators."""
    told = {
        "operator": _operator,
        "growth": _growth,
        "fusion": _fusion,
        "border": _border,
        "unreached": _unreached,
    }[finding.kind](graph, finding)
    return " ".join([told, *_skipped(graph, finding)])


def figures(judged: OutputParity) -> str:
    """How far a tensor is off: `max_rel 0.14, cosine 0.99`, or what else is wrong with it."""
    if judged.max_rel is None and judged.cosine is None:
        return judged.failure or "equal"
    return f"max_rel {number(judged.max_rel)}, cosine {number(judged.cosine, digits=6)}"


def number(value: float | None, digits: int = 2) -> str:
    """A figure in so many digits."""
    return "-" if value is None else f"{value:.{digits}g}"


def _operator(graph: Graph, finding: Finding) -> str:
    tensor = graph[finding.tensors[0]]
    own = next(one for one in finding.judged if one.name == tensor.name)
    return (
        f"{called(tensor)} is the first that is wrong: {_inputs(graph, tensor, finding)}, "
        f"its output `{tensor.name}` is {_error(own)}.{_weights(tensor)}"
    )


def _growth(graph: Graph, finding: Finding) -> str:
    tensor = graph[finding.tensors[0]]
    own = next(one for one in finding.judged if one.name == tensor.name)
    return (
        f"No operator is wrong alone: the error grows on the way and leaves the limits ({own.failure}) at "
        f"{called(tensor)}; {_inputs(graph, tensor, finding)} already, its output `{tensor.name}` is "
        f"{_error(own)}."
    )


def _fusion(graph: Graph, finding: Finding) -> str:
    first, last = finding.tensors[0], finding.tensors[-1]
    kept = " and ".join(f"`{name}`" for name in finding.tensors)
    users = " or ".join(called(tensor) for tensor in graph.users(last)) or "what follows"
    verb = "is" if first == last else "are"
    return (
        f"The error is gone when {kept} {verb} kept ({_before_and_after(finding)}): it comes from a fusion "
        f"between {called(graph[first])} and {users}."
    )


def _border(_graph: Graph, finding: Finding) -> str:
    outputs = f" ({_before_and_after(finding)})" if finding.cured else ""
    return (
        "No operator is to blame: the error is at the limit, and goes within it as soon as other tensors are "
        f"kept{outputs}."
    )


def _unreached(graph: Graph, finding: Finding) -> str:
    return (
        f"{called(graph[finding.tensors[0]])} is wrong, or an operator before it: there is no telling which."
    )


def called(tensor: Tensor) -> str:
    """An operator for people: "Conv `features_3`"."""
    return f"{tensor.operator} `{tensor.node}`"


def _inputs(graph: Graph, tensor: Tensor, finding: Finding) -> str:
    """How far off what `tensor` is computed from is, the worst of it."""
    judged = {one.name: one for one in finding.judged}
    seen = [judged[name] for name in tensor.inputs if name in judged]
    if not seen:
        return (
            "what it is computed from could not be looked at"
            if _inner(graph, tensor)
            else ("it is given the model's input as it is")
        )
    worst = max(seen, key=lambda one: one.max_rel or 0.0)
    several = len(seen) > 1
    return (
        f"its input{'s' if several else ''} {', '.join(f'`{one.name}`' for one in seen)} "
        f"{'are' if several else 'is'} {'at most ' if several else ''}{_error(worst)}"
    )


def _inner(graph: Graph, tensor: Tensor) -> list[str]:
    return [name for name in tensor.inputs if name in graph]


def _error(judged: OutputParity) -> str:
    if judged.max_rel is None:
        return f"wrong ({judged.failure})" if judged.failure else "right"
    cosine = f" (cosine {number(judged.cosine, digits=6)})" if judged.cosine is not None else ""
    return f"off by {number(judged.max_rel)}{cosine}"


def _weights(tensor: Tensor) -> str:
    """Sizes and magnitudes of what the operator multiplies with: the usual place to look at next."""
    weights = [one for one in tensor.weights if one.largest is not None]
    if not weights:
        return ""
    told = ", ".join(
        f"{'x'.join(map(str, one.shape)) or 'scalar'} of at most {number(one.largest)}" for one in weights
    )
    return f" Its weights: {told}."


def _before_and_after(finding: Finding) -> str:
    wrong = [one for one in finding.alone.values() if not one.ok]
    return "; ".join(
        f"`{one.name}` {figures(one)} without, {figures(finding.cured[one.name])} with" for one in wrong
    )


def _skipped(graph: Graph, finding: Finding) -> list[str]:
    """What could not be looked at, where the conclusion rests on it."""
    if not finding.skipped:
        return []
    suspects = [name for name in finding.tensors if name in graph]
    near = [name for name in finding.skipped if any(name in graph[one].inputs for one in suspects)]
    names = [f"`{name}`" for name in finding.skipped]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    reason = next(iter(finding.skipped.values()))
    missing = f"{', '.join(names[:NAMED])}{more} ({reason})"
    if finding.kind == "unreached":
        return [f"Too many tensors cannot be kept: {missing}."]
    if not near:
        return [f"Not looked at, because {'it' if len(names) == 1 else 'they'} cannot be kept: {missing}."]
    return [f"Its fault may lie before it, in what could not be looked at: {missing}."]
