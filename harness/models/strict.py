"""Reading TOML strictly: what is not understood is an error that says where it stands and what was meant."""

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from harness.errors import PocketbenchError, UnknownNameError
from harness.models.forms import check_source
from harness.spec import Budget, Export, ParityLimits, TensorSpec

_NESTED: Final[Mapping[str, type[msgspec.Struct]]] = {
    "inputs": TensorSpec,
    "parity": ParityLimits,
    "budget": Budget,
    "export": Export,
}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Place(NamedTuple):
    """A table of a file, to say where a mistake stands."""

    path: Path
    table: str
    line: int | None

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        return f"{self.path}{line} {self.table}"


def read_section(path: Path, section: str) -> tuple[str, Any]:
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


def line_of(text: str, table: str, number: int = 0) -> int | None:
    """Line of the table's `number`th header; None when it is written in another way."""
    header = re.compile(rf"^\s*\[+{re.escape(table)}\]+", re.MULTILINE)
    ends = [match.end() for match in header.finditer(text)]
    return text.count("\n", 0, ends[number]) + 1 if number < len(ends) else None


def check_known(kind: str, name: str, known: Collection[str], place: Place) -> None:
    """Raise UnknownNameError with the nearest names unless `name` is one of `known`."""
    if name not in known:
        raise UnknownNameError(kind, name, known, str(place))


def check_source_at(source: str | None, place: Place) -> None:
    """Raise PocketbenchError naming `place` unless `source` is written as sources are, or None."""
    if source is None:
        return
    try:
        check_source(source)
    except PocketbenchError as error:
        raise PocketbenchError(f"{place}: {error}") from error


def sha256_problem(key: str, value: str | None) -> str:
    """What is wrong with the hash that stands at `key`; empty when nothing is."""
    if value is None or _SHA256.fullmatch(value):
        return ""
    return f"{key} is 64 hexadecimal digits in lower case (sha256sum FILE prints them), not {value!r}"


def checked_table(
    struct: type[msgspec.Struct], table: object, place: Place, *, given: Collection[str] = ()
) -> dict[str, Any]:
    """`table`, whose keys and whose inner tables' keys are fields of `struct`; those in `given` are not."""
    if not isinstance(table, dict):
        raise PocketbenchError(f"{place}: is a table, not {table!r}")
    fields = [field.name for field in msgspec.structs.fields(struct) if field.name not in given]
    for key, value in table.items():
        check_known("key", key, fields, place)
        if key in _NESTED:
            for name, inner in _inner_tables(key, value):
                checked_table(_NESTED[key], inner, place._replace(table=f"{place.table} {name}"))
    return table


def _inner_tables(key: str, value: object) -> list[tuple[str, object]]:
    """The tables that `value` holds, with their names; whether it may hold any is msgspec's to say."""
    if key in {"budget", "export"}:
        return [(key, value)] if isinstance(value, dict) else []
    if isinstance(value, dict):
        return [(f"{key}.{name}", inner) for name, inner in value.items() if isinstance(inner, dict)]
    if isinstance(value, list):
        return [(f"{key}[{n}]", inner) for n, inner in enumerate(value) if isinstance(inner, dict)]
    return []


def converted(struct: type[_Struct], table: Mapping[str, Any], place: Place) -> _Struct:
    """`table` as `struct`; raises PocketbenchError naming place and key when a value has the wrong type."""
    try:
        return msgspec.convert(table, struct)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        key = where.strip("`.")
        raise PocketbenchError(f"{place}: {f'{key}: ' if key else ''}{what}") from error
