"""`[models.NAME.conversion.RUNTIME.PRECISION]` and `[models.NAME.calibration]` of a zoo: how it is converted.

[models.net.conversion.mnn.w4]
block = 32
symmetric = true
hqq = false

[models.net.calibration]
count = 32
method = { onnxruntime = "kl", mnn = "admm" }
folder = "samples"
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from harness.errors import PocketbenchError
from harness.models.strict import Place, check_known, checked_table, converted
from harness.spec import PRECISIONS, CalibrationSettings, ConversionOptions, Model
from harness.spec.conversion import METHODS, OPTIONS

Conversion = dict[str, dict[str, ConversionOptions]]


def read_conversion(tables: object, place: Place) -> Conversion:
    """Options by runtime and precision; raises PocketbenchError saying where they are wrong."""
    place = place._replace(table=f"{place.table} conversion")
    found: Conversion = {}
    for runtime, precisions in _table(tables, place, "mnn = { w8 = { block = 64 } }").items():
        check_known("runtime", runtime, OPTIONS, place)
        inner = place._replace(table=f"{place.table}.{runtime}")
        found[runtime] = {
            precision: read_options(
                runtime, precision, options, inner._replace(table=f"{inner.table}.{precision}")
            )
            for precision, options in _table(precisions, inner, "w8 = { block = 64 }").items()
        }
    return found


def read_options(runtime: str, precision: str, table: object, place: Place) -> ConversionOptions:
    """The options in `table`; raises PocketbenchError for one that `runtime` does not have there."""
    check_known("precision", precision, PRECISIONS, place)
    if precision not in OPTIONS[runtime]:
        told = f"it has some for {', '.join(OPTIONS[runtime])}"
        raise PocketbenchError(f"{place}: {runtime} has no options for {precision}; {told}")
    struct = OPTIONS[runtime][precision]
    checked = checked_table(struct, table, place)
    for name, hint in get_type_hints(struct).items():
        if get_origin(hint) is Literal and name in checked and checked[name] not in get_args(hint):
            values = ", ".join(map(str, get_args(hint)))
            raise PocketbenchError(f"{place}: {name} is one of {values}, not {checked[name]!r}")
    return converted(struct, checked, place)


def with_options(model: Model, runtime: str, precision: str, words: Sequence[str]) -> Model:
    """`model` with what `words` such as `block=64` ask for in the place of what its zoo says of them.

    A value is written as in TOML; text may go without quotes, and lists of it with commas alone. Raises
    PocketbenchError as the reading of a zoo does.
    """
    if not words:
        return model
    place = Place(Path("--option"), f"{runtime} {precision}", None)
    already = model.options(runtime, precision)
    kinds = get_type_hints(OPTIONS[runtime].get(precision, ConversionOptions))
    table = already.asked if already else {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise PocketbenchError(f"--option {word}: is written NAME=VALUE, such as block=64")
        name = name.strip()
        read = _values if get_origin(kinds.get(name)) is tuple else _value
        table[name] = read(text.strip())
    options = read_options(runtime, precision, table, place)
    changed = {**model.conversion, runtime: {**model.conversion.get(runtime, {}), precision: options}}
    return msgspec.structs.replace(model, conversion=changed)


def read_calibration(table: object, place: Place) -> CalibrationSettings:
    """The calibration of a model; raises PocketbenchError saying where it is wrong."""
    place = place._replace(table=f"{place.table} calibration")
    checked = checked_table(CalibrationSettings, table, place)
    settings = converted(CalibrationSettings, checked, place)
    methods = settings.method if isinstance(settings.method, dict) else {"": settings.method}
    for runtime, method in methods.items():
        if runtime:
            check_known("runtime", runtime, OPTIONS, place)
        if method is not None:
            check_known("calibration method", method, METHODS, place)
    return settings


def conversion_problems(model: Model) -> Iterator[str]:
    """What is asked of conversions that there will never be."""
    supplied = {(one.runtime, one.precision) for one in model.artifacts}
    originals = {one.runtime for one in model.originals}
    for runtime, precisions in model.conversion.items():
        for precision in precisions:
            if (runtime, precision) in supplied:
                yield f"conversion.{runtime}.{precision} has no effect: artifacts hold that file already"
            elif not model.source and runtime not in originals:
                yield f"conversion.{runtime}.{precision} has no effect: there is no source to convert"


def _table(value: object, place: Place, such_as: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value:
        raise PocketbenchError(f"{place}: is a table such as {{ {such_as} }}, not {value!r}")
    return value


def _value(text: str) -> Any:  # noqa: ANN401 - whatever TOML holds
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _values(text: str) -> list[Any]:
    """A list as TOML writes it, its brackets left out or not; else names, such as `12`, between commas."""
    for written in (text, f"[{text}]"):
        value = _value(written)
        if isinstance(value, list) and (written == text or all(isinstance(one, str) for one in value)):
            return value
    return [part.strip() for part in text.split(",") if part.strip()]
