"""From filters to cases: which model x runtime x precision x threads x backend is asked for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from harness.errors import PocketbenchError, UnknownNameError
from harness.runtimes import RUNTIMES, parse_runtime
from harness.spec import PRECISIONS, Case, Frozen, Model, Precision


class Filters(Frozen, frozen=True, kw_only=True):
    """What the user asked for; an empty tuple asks for the default."""

    models: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    threads: tuple[int, ...] = (1,)
    backends: tuple[str, ...] = ()


def split_names(values: Iterable[str] | None) -> tuple[str, ...]:
    """Names of repeatable options that take comma lists, each once, in order."""
    names = [name.strip() for value in values or () for name in value.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def build_cases(zoo: Mapping[str, Model], filters: Filters) -> list[Case]:
    """All cases that the filters ask for.

    A precision or backend that is asked for by name makes a case for every runtime, also one that cannot
    do it: the report then says so. Without a filter only what a runtime can do is a case.

    Raises UnknownNameError for a name that is not known, PocketbenchError when nothing is left.
    """
    models = _models(zoo, filters.models)
    precisions = _checked("precision", filters.precisions, PRECISIONS)
    backends = _checked("backend", filters.backends, {b for r in RUNTIMES.values() for b in r.backends})
    asked = (
        Case(
            model=model.name,
            runtime=runtime.name,
            runtime_version=version,
            precision=cast("Precision", precision),
            threads=threads,
            backend=backend,
        )
        for model in models
        for runtime, version in map(parse_runtime, filters.runtimes or tuple(RUNTIMES))
        for precision in precisions or runtime.precisions
        for threads in filters.threads
        for backend in [b for b in runtime.backends if b in backends] or runtime.backends[:1]
    )
    # A runtime may be named with and without its default version.
    cases = list(dict.fromkeys(asked))
    if not cases:
        raise PocketbenchError(
            f"nothing to measure: {len(models)} models, {len(filters.threads)} thread counts. "
            "Every model of the zoo may have `default = false`: name one with --model"
        )
    return cases


def _models(zoo: Mapping[str, Model], names: Sequence[str]) -> list[Model]:
    if not names:
        return [model for model in zoo.values() if model.default]
    for name in names:
        if name not in zoo:
            raise UnknownNameError("model", name, zoo)
    return [zoo[name] for name in names]


def _checked(kind: str, names: Sequence[str], known: Iterable[str]) -> Sequence[str]:
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)
    return names
