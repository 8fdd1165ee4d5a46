"""From filters to cases: which model x runtime x precision x threads x backend is asked for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from harness.errors import PocketbenchError, UnknownNameError
from harness.models.artifact_tables import backends_of
from harness.runtimes import RUNTIMES, Runtime, parse_runtime
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
    do it: the report then says so. Without a filter a runtime's default precisions and what the zoo supplies
    are cases.

    Raises UnknownNameError for a name that is not known, PocketbenchError when nothing is left, and for a
    model whose sizes are not all filled in.
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
        for precision, backend in _cells(model, runtime, precisions, backends, named=bool(filters.runtimes))
        for threads in filters.threads
    )
    # A runtime may be named with and without its default version.
    cases = list(dict.fromkeys(asked))
    if not cases:
        raise PocketbenchError(
            f"nothing to measure: {len(models)} models, {len(filters.threads)} thread counts. "
            "Every model of the zoo may have `default = false`: name one with --model"
        )
    return cases


def _cells(
    model: Model, runtime: Runtime, precisions: Sequence[str], backends: Sequence[str], *, named: bool
) -> list[tuple[str, str]]:
    """Precisions and backends of `model` in `runtime`, which is `named` when it was asked for by name.

    An artifact of the zoo's is a cell also on a backend that is not the runtime's first. Where there is
    neither a source nor an original, these are all, and, so that the report says that they are missing, what
    is asked for by name.
    """
    asked = [backend for backend in runtime.backends if backend in backends]
    supplied = [
        (one.precision, backend)
        for one in model.artifacts
        if one.runtime == runtime.name and (one.precision in precisions or not precisions)
        for backend in ([b for b in backends_of(one) if b in asked] if asked else backends_of(one)[:1])
    ]
    converted = list(precisions or runtime.default_precisions)
    if not model.source and runtime.name not in {one.runtime for one in model.originals}:
        held = {precision for precision, _ in supplied}
        missing = precisions or (runtime.default_precisions[:1] if named and not supplied else ())
        converted = [precision for precision in missing if precision not in held]
    made = [(precision, backend) for precision in converted for backend in asked or runtime.backends[:1]]
    return list(dict.fromkeys([*made, *supplied]))


def _models(zoo: Mapping[str, Model], names: Sequence[str]) -> list[Model]:
    for name in names:
        if name not in zoo:
            raise UnknownNameError("model", name, zoo)
    models = [zoo[name] for name in names] if names else [model for model in zoo.values() if model.default]
    for model in models:
        _check_filled_in(model)
    return models


def _check_filled_in(model: Model) -> None:
    """Refuse a size of 0, which an imported zoo has until somebody decides; other models can be measured."""
    for tensor in model.inputs:
        if 0 in tensor.shape:
            raise PocketbenchError(
                f"model {model.name}: the input {tensor.name!r} has the shape {list(tensor.shape)}; 0 stands "
                "for a size that its file leaves open: write the size to measure at, 1 or more, into the "
                "zoo, or name other models with --model"
            )


def _checked(kind: str, names: Sequence[str], known: Iterable[str]) -> Sequence[str]:
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)
    return names
