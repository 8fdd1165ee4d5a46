"""`[models.NAME.originals]` of a zoo: the network as another framework keeps it, for a runtime's converter.

mnn = "file:net.tflite"
ncnn = { torchscript = "file:net.pt", sha256 = "...", inputs = { x = "input" } }
paddlelite = { pdmodel = "file:net.pdmodel", pdiparams = "file:net.pdiparams" }
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from harness.errors import PocketbenchError, UnknownNameError
from harness.models.artifact_tables import pinned_file
from harness.models.forms import parse_source
from harness.models.strict import Place, check_known, check_source_at, converted
from harness.spec import Frozen, Model, Original


class Layout(Frozen, frozen=True, kw_only=True):
    """Files that hold a network of `framework` together, by their keys in the zoo.

    One that is a single file is known by `suffixes` as well.
    """

    framework: str
    keys: tuple[str, ...]
    suffixes: tuple[str, ...] = ()


LAYOUTS: Final = (
    Layout(framework="tflite", keys=("tflite",), suffixes=(".tflite",)),
    Layout(framework="tensorflow", keys=("tensorflow",), suffixes=(".pb",)),
    Layout(framework="torchscript", keys=("torchscript",), suffixes=(".pt", ".pth", ".torchscript")),
    Layout(framework="caffe", keys=("prototxt", "caffemodel")),
    Layout(framework="paddle", keys=("pdmodel", "pdiparams")),
    Layout(framework="paddle", keys=("paddle",)),
)
"""What an original consists of. `paddle` is a folder: `__model__`, and a file for each weight."""

TAKEN: Final[Mapping[str, tuple[str, ...]]] = {
    "mnn": ("tflite", "tensorflow", "caffe", "torchscript"),
    "ncnn": ("torchscript",),
    "onnxruntime": (),
    "paddlelite": ("paddle",),
}
"""Runtime -> frameworks that its converter takes, beside ONNX."""

PARTS: Final = {
    ".caffemodel": "caffemodel",
    ".prototxt": "prototxt",
    ".pdmodel": "pdmodel",
    ".pdiparams": "pdiparams",
}
"""Suffixes of files that are no network without another."""


SUFFIXES: Final = frozenset((*PARTS, *(suffix for layout in LAYOUTS for suffix in layout.suffixes)))
"""Suffixes of files that an original may consist of."""


class _Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a table says beside its files."""

    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()


def read_originals(tables: object, place: Place) -> tuple[Original, ...]:
    """The originals of a model, in the table's order; raises PocketbenchError saying where it is wrong."""
    if not isinstance(tables, dict) or not tables:
        raise PocketbenchError(
            f"{place} originals: is a table of files by runtime, such as "
            f'{{ mnn = "file:net.tflite" }}, not {tables!r}'
        )
    inner = place._replace(table=f"{place.table} originals")
    found = []
    for runtime, value in tables.items():
        check_known("runtime", runtime, TAKEN, inner)
        found.append(_original(runtime, value, inner._replace(table=f"{inner.table}.{runtime}")))
    return tuple(found)


def original_problems(model: Model) -> Iterator[str]:
    """What is wrong between a model's originals and the rest of it."""
    declared = {tensor.name for tensor in model.inputs}
    for one in model.originals:
        for name in sorted(one.inputs.keys() - declared):
            yield (
                f"originals.{one.runtime}: inputs maps {name!r}, which is no input of the model; "
                f"it has {', '.join(sorted(declared))}"
            )


def _original(runtime: str, value: object, place: Place) -> Original:
    if not TAKEN[runtime]:
        raise PocketbenchError(f"{place}: {runtime} takes ONNX alone, and an ONNX file is a model's source")
    if isinstance(value, str):
        check_source_at(value, place)
        value = {_key_of(runtime, value, place): value}
    if not isinstance(value, dict):
        raise PocketbenchError(f"{place}: is a file's source or a table, not {value!r}")
    layout = _layout(runtime, value, place)
    hashes = {key: "sha256" if len(layout.keys) == 1 else f"{key}_sha256" for key in layout.keys}
    settings = [field.name for field in msgspec.structs.fields(_Settings)]
    for key in value:
        check_known("key", key, [*layout.keys, *hashes.values(), *settings], place)
    said = converted(_Settings, {key: value[key] for key in settings if key in value}, place)
    return Original(
        runtime=runtime,
        framework=layout.framework,
        files={key: pinned_file(value, key, hashes[key], place) for key in layout.keys},
        inputs=said.inputs,
        outputs=said.outputs,
    )


def _key_of(runtime: str, source: str, place: Place) -> str:
    """The key that a source which stands alone means, by its suffix."""
    name = parse_source(source)[-1].name
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in PARTS:
        part = PARTS[suffix]
        (layout,) = (layout for layout in LAYOUTS if part in layout.keys)
        _check_taken(runtime, layout.framework, place)
        told = ", ".join(f'{key} = "..."' for key in layout.keys)
        raise PocketbenchError(f"{place}: {name} is one file of {len(layout.keys)}: write {{ {told} }}")
    if suffix == ".onnx":
        raise PocketbenchError(f"{place}: {name} is ONNX, which is a model's source and no original")
    layouts = [layout for layout in LAYOUTS if suffix in layout.suffixes]
    if not layouts:
        keys = ", ".join(_taken_keys(runtime))
        raise PocketbenchError(
            f"{place}: what {name} is does not show from its name; say it by the key, of {keys}: "
            f'{{ {_taken_keys(runtime)[0]} = "{source}" }}'
        )
    _check_taken(runtime, layouts[0].framework, place)
    return layouts[0].keys[0]


def _layout(runtime: str, table: Mapping[str, Any], place: Place) -> Layout:
    """The layout whose files `table` names, all of them and no others."""
    if "onnx" in table:
        raise PocketbenchError(f"{place}: ONNX is a model's source and no original")
    given = {key for key in table if any(key in layout.keys for layout in LAYOUTS)}
    for layout in LAYOUTS:
        if given & set(layout.keys):
            _check_taken(runtime, layout.framework, place)
    for layout in LAYOUTS:
        if given == set(layout.keys):
            return layout
    missing = [layout for layout in LAYOUTS if given and given < set(layout.keys)]
    if missing:
        lacks = " and ".join(key for key in missing[0].keys if key not in given)
        raise PocketbenchError(f"{place}: {' and '.join(sorted(given))} is given without {lacks}")
    if given:
        raise PocketbenchError(f"{place}: {' and '.join(sorted(given))} do not belong together")
    unknown = next((key for key in table if key not in {"sha256", "inputs", "outputs"}), None)
    if unknown is not None:
        raise UnknownNameError("key", unknown, _taken_keys(runtime), str(place))
    raise PocketbenchError(f"{place}: no file is given; {runtime} takes {', '.join(_taken_keys(runtime))}")


def _check_taken(runtime: str, framework: str, place: Place) -> None:
    if framework not in TAKEN[runtime]:
        raise PocketbenchError(
            f"{place}: {runtime}'s converter takes no {framework}; it takes {', '.join(TAKEN[runtime])} (and "
            "ONNX, as the model's source)"
        )


def _taken_keys(runtime: str) -> list[str]:
    return [" and ".join(one.keys) for one in LAYOUTS if one.framework in TAKEN[runtime]]
