"""The two files that say what is measured: the zoo (models) and the expectations (known deviations).

Both are read strictly: what is not understood is an error that says where it stands and what was meant.
Reading them imports neither numpy nor a runtime, because it happens while tests are collected.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.errors import PocketbenchError
from harness.models.artifact_tables import read_artifacts
from harness.models.conversion_tables import conversion_problems, read_calibration, read_conversion
from harness.models.feeds import KINDS, NEEDS_SOURCE
from harness.models.original_tables import original_problems, read_originals
from harness.models.strict import (
    Place,
    check_known,
    check_source_at,
    checked_table,
    converted,
    line_of,
    read_section,
    sha256_problem,
)
from harness.spec import PRECISIONS, Expectation, Model

DTYPES: Final = (
    "bool", "float16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip
"""What numpy calls the element types an input may have."""

_READERS: Final[Mapping[str, Callable[[object, Place], object]]] = {
    "artifacts": read_artifacts,
    "originals": read_originals,
    "conversion": read_conversion,
    "calibration": read_calibration,
}
"""Tables of a model that are more than their values."""

_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


def load_zoo(path: Path) -> dict[str, Model]:
    """Models of a zoo file by name, in the file's order.

    Raises PocketbenchError naming file, line, table, key and the nearest valid key.
    """
    text, tables = read_section(path, "models")
    if not isinstance(tables, dict) or not tables:
        raise PocketbenchError(f"{path}: no models; a zoo has tables [models.NAME]")
    return {
        name: _model(name, table, Place(path, f"[models.{name}]", line_of(text, f"models.{name}")))
        for name, table in tables.items()
    }


def load_expectations(
    path: Path,
    *,
    models: Collection[str] | None = None,
    runtimes: Mapping[str, Collection[str]] | None = None,
) -> tuple[Expectation, ...]:
    """Known deviations of a file, in its order; an empty file has none.

    Names are checked against `models` and `runtimes`, the backends of each, where these are given. Raises
    PocketbenchError as `load_zoo` does.
    """
    text, tables = read_section(path, "known")
    if not isinstance(tables, list | None):
        raise PocketbenchError(f"{path}: expectations are tables [[known]]")
    known: list[Expectation] = []
    for number, table in enumerate(tables or ()):
        place = Place(path, f"[[known]] number {number + 1}", line_of(text, "known", number))
        one = converted(Expectation, checked_table(Expectation, table, place), place)
        _check_expectation(one, place, models, runtimes)
        for other in known:
            if one.overlaps(other):
                also = f", as {other.label}" if one.label != other.label else ""
                raise PocketbenchError(f"{place}: {one.label} is listed twice{also}; one entry per case")
        known.append(one)
    return tuple(known)


def _model(name: str, table: object, place: Place) -> Model:
    checked = checked_table(Model, table, place, given=("name",))
    if "inputs" not in checked:
        raise PocketbenchError(
            f"{place}: missing required field `inputs`, each with name and shape. `pocketbench models doctor "
            "FILE` tells those of an ONNX file, `pocketbench models export FOLDER` those of a folder"
        )
    plain = {key: value for key, value in checked.items() if key not in _READERS}
    model = converted(Model, {**plain, "name": name}, place)
    inner = {key: read(checked[key], place) for key, read in _READERS.items() if key in checked}
    model = msgspec.structs.replace(model, **inner)
    for source in (checked.get("source"), model.feed_source):
        check_source_at(source, place)
    problems = (
        _problems(model),
        _artifact_problems(model, checked),
        original_problems(model),
        conversion_problems(model),
    )
    for problem in chain.from_iterable(problems):
        raise PocketbenchError(f"{place}: {problem}")
    check_known("feed", model.feed, KINDS, place)
    for precision in model.parity:
        check_known("precision", precision, PRECISIONS, place)
    for tensor in model.inputs:
        check_known("dtype", tensor.dtype, DTYPES, place)
    return model


def _problems(model: Model) -> Iterator[str]:
    """What is wrong with a model whose every value has the right type."""
    if not _NAME.fullmatch(model.name):
        yield "a name has letters, digits, '_', '-' and '.', because files and test ids are made of it"
    if not model.inputs:
        yield "inputs is empty; a model needs at least one"
    yield from _input_problems(model)
    for key, value in (("sha256", model.sha256 or None), ("feed_sha256", model.feed_sha256)):
        if problem := sha256_problem(key, value):
            yield problem
    if (model.feed_source is None) != (model.feed_sha256 is None):
        yield "feed_source and feed_sha256 are given together or not at all"
    if model.feed in NEEDS_SOURCE and model.feed_source is None:
        yield f"the feed {model.feed!r} is made from a file: give feed_source and feed_sha256"


def _artifact_problems(model: Model, table: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong between a model's source, its artifacts and originals, and its reference."""
    if "sha256" in table and "source" not in table:
        yield "missing required field `source`: sha256 is the hash of it"
    if not (model.source or model.artifacts or model.originals):
        yield "missing required field `source`, or artifacts that are converted already, or originals"
    if not model.source and model.constants:
        yield "constants are set in the source, and there is none: a converted file's inputs stay as they are"
    if model.reference and model.source:
        yield "a model that has a source is judged against it: leave reference out"
    given = [one.runtime for one in model.artifacts if one.precision == "fp32"]
    given += [one.runtime for one in model.originals if one.runtime not in given]
    if model.reference and model.reference not in given:
        yield (
            f"reference names a runtime that artifacts hold in fp32, or originals, not {model.reference!r}; "
            f"there {'are' if len(given) > 1 else 'is'} {', '.join(given) or 'none'}"
        )
    declared = {tensor.name for tensor in model.inputs}
    for one in model.artifacts:
        for name in sorted(one.inputs.keys() - declared):
            yield (
                f"artifacts.{one.runtime}: inputs maps {name!r}, which is no input of the model; "
                f"it has {', '.join(sorted(declared))}"
            )


def _input_problems(model: Model) -> Iterator[str]:
    names = [tensor.name for tensor in model.inputs]
    for tensor in model.inputs:
        if names.count(tensor.name) > 1 or tensor.name in model.constants:
            yield f"the input {tensor.name!r} is given twice"
        if any(size < 0 for size in tensor.shape):  # 0 is to be filled in before the model is measured
            yield f"the input {tensor.name!r} has the shape {list(tensor.shape)}; every size is 1 or more"


def _check_expectation(
    one: Expectation,
    place: Place,
    models: Collection[str] | None,
    runtimes: Mapping[str, Collection[str]] | None,
) -> None:
    for kind, name, names in (("model", one.model, models), ("runtime", one.runtime, runtimes)):
        if not _NAME.fullmatch(name):
            raise PocketbenchError(
                f"{place}: {kind} names one {kind}, not {name!r}; write one entry for each"
            )
        if names is not None:
            check_known(kind, name, names, place)
    if one.backend is not None and runtimes is not None:
        check_known(f"backend of {one.runtime}", one.backend, runtimes[one.runtime], place)
    for key, value in (("reason", one.reason), ("evidence", one.evidence)):
        if not value.strip():
            raise PocketbenchError(f"{place}: {key} is empty; say what is known, and what shows it")
