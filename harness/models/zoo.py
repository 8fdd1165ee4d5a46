"""The two files that say what is measured: the zoo (models) and the expectations (known deviations).

Both are read strictly: what is not understood is an error that says where it stands and what was meant.
Reading them imports neither numpy nor a runtime, because it happens while tests are collected.
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from harness.errors import PocketbenchError, UnknownNameError
from harness.models.feeds import KINDS, NEEDS_SOURCE
from harness.models.forms import check_source
from harness.spec import PRECISIONS, Budget, Expectation, Model, ParityLimits, TensorSpec

DTYPES: Final = (
    "bool", "float16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip
"""What numpy calls the element types an input may have."""

_NESTED: Final[Mapping[str, type[msgspec.Struct]]] = {
    "inputs": TensorSpec,
    "parity": ParityLimits,
    "budget": Budget,
}
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class _Place(NamedTuple):
    """A table of a file, to say where a mistake stands."""

    path: Path
    table: str
    line: int | None

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        return f"{self.path}{line} {self.table}"


def load_zoo(path: Path) -> dict[str, Model]:
    """Models of a zoo file by name, in the file's order.

    Raises PocketbenchError naming file, line, table, key and the nearest valid key.
    """
    text, tables = _read(path, "models")
    if not isinstance(tables, dict) or not tables:
        raise PocketbenchError(f"{path}: no models; a zoo has tables [models.NAME]")
    return {
        name: _model(name, table, _Place(path, f"[models.{name}]", _line(text, f"models.{name}")))
        for name, table in tables.items()
    }


def load_expectations(
    path: Path,
    *,
    models: Collection[str] | None = None,
    runtimes: Collection[str] | None = None,
) -> tuple[Expectation, ...]:
    """Known deviations of a file, in its order; an empty file has none.

    Names are checked against `models` and `runtimes` where these are given. Raises PocketbenchError as
    `load_zoo` does.
    """
    text, tables = _read(path, "known")
    if not isinstance(tables, list | None):
        raise PocketbenchError(f"{path}: expectations are tables [[known]]")
    known: dict[tuple[str, str, str], Expectation] = {}
    for number, table in enumerate(tables or ()):
        place = _Place(path, f"[[known]] number {number + 1}", _line(text, "known", number))
        one = _converted(Expectation, _checked_table(Expectation, table, place), place)
        _check_expectation(one, place, models, runtimes)
        case = (one.model, one.runtime, one.precision)
        if case in known:
            raise PocketbenchError(f"{place}: {'/'.join(case)} is listed twice; one entry per case")
        known[case] = one
    return tuple(known.values())


def _read(path: Path, section: str) -> tuple[str, Any]:
    """Text of a TOML file and its one permitted section."""
    try:
        text = path.read_text("utf-8")
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        where = f"{path}:{at[1]}:{at[2]}" if at else f"{path}"
        raise PocketbenchError(f"{where}: not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise PocketbenchError(f"{path}: not UTF-8 text: {error}") from error
    except OSError as error:
        raise PocketbenchError(f"cannot read {path}: {error.strerror}") from error
    for name in document:
        if name != section:
            raise UnknownNameError("table", name, [section], str(path))
    return text, document.get(section)


def _line(text: str, table: str, number: int = 0) -> int | None:
    """Line of the table's `number`th header; None when it is written in another way."""
    header = re.compile(rf"^\s*\[+{re.escape(table)}\]+", re.MULTILINE)
    ends = [match.end() for match in header.finditer(text)]
    return text.count("\n", 0, ends[number]) + 1 if number < len(ends) else None


def _model(name: str, table: object, place: _Place) -> Model:
    checked = _checked_table(Model, table, place, given=("name",))
    model = _converted(Model, {**checked, "name": name}, place)
    for problem in _problems(model):
        raise PocketbenchError(f"{place}: {problem}")
    _check_known("feed", model.feed, KINDS, place)
    for precision in model.parity:
        _check_known("precision", precision, PRECISIONS, place)
    for tensor in model.inputs:
        _check_known("dtype", tensor.dtype, DTYPES, place)
    for source in (model.source, model.feed_source):
        _check_source(source, place)
    return model


def _problems(model: Model) -> Iterator[str]:
    """What is wrong with a model whose every value has the right type."""
    if not _NAME.fullmatch(model.name):
        yield "a name has letters, digits, '_', '-' and '.', because files and test ids are made of it"
    if not model.inputs:
        yield "inputs is empty; a model needs at least one"
    yield from _input_problems(model)
    for key, value in (("sha256", model.sha256), ("feed_sha256", model.feed_sha256)):
        if value is not None and not _SHA256.fullmatch(value):
            yield f"{key} is 64 hexadecimal digits in lower case (sha256sum FILE prints them), not {value!r}"
    if (model.feed_source is None) != (model.feed_sha256 is None):
        yield "feed_source and feed_sha256 are given together or not at all"
    if model.feed in NEEDS_SOURCE and model.feed_source is None:
        yield f"the feed {model.feed!r} is made from a file: give feed_source and feed_sha256"


def _input_problems(model: Model) -> Iterator[str]:
    names = [tensor.name for tensor in model.inputs]
    for tensor in model.inputs:
        if names.count(tensor.name) > 1 or tensor.name in model.constants:
            yield f"the input {tensor.name!r} is given twice"
        if any(size < 1 for size in tensor.shape):
            yield f"the input {tensor.name!r} has the shape {list(tensor.shape)}; every size is 1 or more"


def _check_expectation(
    one: Expectation,
    place: _Place,
    models: Collection[str] | None,
    runtimes: Collection[str] | None,
) -> None:
    for kind, name, names in (("model", one.model, models), ("runtime", one.runtime, runtimes)):
        if not _NAME.fullmatch(name):
            raise PocketbenchError(
                f"{place}: {kind} names one {kind}, not {name!r}; write one entry for each"
            )
        if names is not None:
            _check_known(kind, name, names, place)
    for key, value in (("reason", one.reason), ("evidence", one.evidence)):
        if not value.strip():
            raise PocketbenchError(f"{place}: {key} is empty; say what is known, and what shows it")


def _check_known(kind: str, name: str, known: Collection[str], place: _Place) -> None:
    if name not in known:
        raise UnknownNameError(kind, name, known, str(place))


def _check_source(source: str | None, place: _Place) -> None:
    if source is None:
        return
    try:
        check_source(source)
    except PocketbenchError as error:
        raise PocketbenchError(f"{place}: {error}") from error


def _checked_table(
    struct: type[msgspec.Struct], table: object, place: _Place, *, given: Collection[str] = ()
) -> dict[str, Any]:
    """`table`, whose keys and whose inner tables' keys are fields of `struct`; those in `given` are not."""
    if not isinstance(table, dict):
        raise PocketbenchError(f"{place}: is a table, not {table!r}")
    fields = [field.name for field in msgspec.structs.fields(struct) if field.name not in given]
    for key, value in table.items():
        _check_known("key", key, fields, place)
        if key in _NESTED:
            for name, inner in _inner_tables(key, value):
                _checked_table(_NESTED[key], inner, place._replace(table=f"{place.table} {name}"))
    return table


def _inner_tables(key: str, value: object) -> list[tuple[str, object]]:
    """The tables that `value` holds, with their names; whether it may hold any is msgspec's to say."""
    if key == "budget":
        return [(key, value)] if isinstance(value, dict) else []
    if isinstance(value, dict):
        return [(f"{key}.{name}", inner) for name, inner in value.items() if isinstance(inner, dict)]
    if isinstance(value, list):
        return [(f"{key}[{n}]", inner) for n, inner in enumerate(value) if isinstance(inner, dict)]
    return []


def _converted(struct: type[_Struct], table: Mapping[str, Any], place: _Place) -> _Struct:
    try:
        return msgspec.convert(table, struct)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        key = where.strip("`.")
        raise PocketbenchError(f"{place}: {f'{key}: ' if key else ''}{what}") from error
