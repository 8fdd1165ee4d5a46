"""`[models.NAME.artifacts]` of a zoo: files that somebody has converted already, by runtime.

onnxruntime = "file:net.onnx"
mnn = [
    "file:net.mnn",
    { source = "file:net_fp16.mnn", sha256 = "...", precision = "fp16" },
]
ncnn = { param = "file:net.param", bin = "file:net.bin", inputs = { x = "data" } }
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from harness.errors import PocketbenchError
from harness.models.forms import needs_sha256
from harness.models.strict import Place, check_known, check_source_at, converted, sha256_problem
from harness.spec import PRECISIONS, Frozen, PinnedFile, Precision, SuppliedArtifact


class Layout(Frozen, frozen=True, kw_only=True):
    """Files that make one artifact together, by the key that names each, and the backends that take them.

    `roles`: the zoo's key -> the role the runner knows the file by.
    """

    roles: dict[str, str]
    backends: tuple[str, ...] = ("cpu",)


LAYOUTS: Final[Mapping[str, tuple[Layout, ...]]] = {
    "onnxruntime": (Layout(roles={"source": "onnx"}),),
    "mnn": (Layout(roles={"source": "mnn"}),),
    "ncnn": (Layout(roles={"param": "param", "bin": "bin"}, backends=("cpu", "vulkan")),),
    "paddlelite": (
        Layout(roles={"source": "nb"}, backends=("mobile",)),
        Layout(roles={"pdmodel": "pdmodel", "pdiparams": "pdiparams"}),
    ),
}
"""What an artifact of each runtime consists of."""


class _Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a table says beside its files."""

    precision: Precision = "fp32"
    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()


def backends_of(artifact: SuppliedArtifact) -> tuple[str, ...]:
    """Backends of its runtime that can load `artifact`."""
    roles = set(artifact.files)
    layouts = LAYOUTS[artifact.runtime]
    return next(layout.backends for layout in layouts if set(layout.roles.values()) == roles)


def read_artifacts(tables: object, place: Place) -> tuple[SuppliedArtifact, ...]:
    """The artifacts of a model, in the table's order; raises PocketbenchError saying where it is wrong."""
    if not isinstance(tables, dict) or not tables:
        raise PocketbenchError(
            f"{place} artifacts: is a table of files by runtime, such as "
            f'{{ mnn = "file:net.mnn" }}, not {tables!r}'
        )
    found: list[SuppliedArtifact] = []
    for runtime, value in tables.items():
        inner = place._replace(table=f"{place.table} artifacts")
        check_known("runtime", runtime, LAYOUTS, inner)
        several = value if isinstance(value, list) else [value]
        if not several:
            raise PocketbenchError(f"{inner}.{runtime}: names no file")
        for number, one in enumerate(several):
            name = f"{inner.table}.{runtime}{f'[{number}]' if isinstance(value, list) else ''}"
            found.append(_artifact(runtime, one, inner._replace(table=name)))
    _refuse_twice(found, place)
    return tuple(found)


def _artifact(runtime: str, value: object, place: Place) -> SuppliedArtifact:
    layouts = LAYOUTS[runtime]
    if isinstance(value, str):
        if not any(layout.roles.keys() == {"source"} for layout in layouts):
            raise PocketbenchError(f"{place}: {runtime} takes {_told(layouts)}, not one file")
        value = {"source": value}
    if not isinstance(value, dict):
        raise PocketbenchError(f"{place}: is a file's source or a table, not {value!r}")
    roles = {key: role for layout in layouts for key, role in layout.roles.items()}
    hashes = {_hash_key(key): key for key in roles}
    settings = [field.name for field in msgspec.structs.fields(_Settings)]
    for key in value:
        check_known("key", key, [*roles, *hashes, *settings], place)
    given = {key for key in value if key in roles}
    if not any(given == layout.roles.keys() for layout in layouts):
        raise PocketbenchError(f"{place}: {runtime} takes {_told(layouts)}; {_lacks(given, layouts)}")
    for key, of in hashes.items():
        if key in value and of not in value:
            raise PocketbenchError(f"{place}: {key} is the hash of {of}, which is not given")
    check_known("precision", str(value.get("precision", "fp32")), PRECISIONS, place)
    said = converted(_Settings, {key: value[key] for key in settings if key in value}, place)
    return SuppliedArtifact(
        runtime=runtime,
        precision=said.precision,
        files={
            role: pinned_file(value, key, _hash_key(key), place)
            for key, role in roles.items()
            if key in given
        },
        inputs=said.inputs,
        outputs=said.outputs,
    )


def pinned_file(table: Mapping[str, Any], key: str, hash_key: str, place: Place) -> PinnedFile:
    """The file at `key` of `table` with the hash that stands at `hash_key`.

    Raises PocketbenchError when either is not written as it should be, or a source lacks the hash it needs.
    """
    pinned = converted(PinnedFile, {"source": table[key], "sha256": table.get(hash_key)}, place)
    check_source_at(pinned.source, place)
    problem = sha256_problem(hash_key, pinned.sha256)
    if problem:
        raise PocketbenchError(f"{place}: {problem}")
    loose = not pinned.source.startswith("file:") and needs_sha256(pinned.source)
    if pinned.sha256 is None and loose:
        raise PocketbenchError(f"{place}: {hash_key} is missing; only a file: source may go without")
    return pinned


def _refuse_twice(found: list[SuppliedArtifact], place: Place) -> None:
    cells: set[tuple[str, str, str]] = set()
    for one in found:
        for backend in backends_of(one):
            cell = (one.runtime, one.precision, backend)
            if cell in cells:
                raise PocketbenchError(
                    f"{place} artifacts.{one.runtime}: {one.precision} is given twice; one artifact for each "
                    "precision, so give the other's precision or give it a model of its own"
                )
            cells.add(cell)


def _hash_key(key: str) -> str:
    return "sha256" if key == "source" else f"{key}_sha256"


def _told(layouts: tuple[Layout, ...]) -> str:
    return ", or ".join(" and ".join(layout.roles) for layout in layouts)


def _lacks(given: set[str], layouts: tuple[Layout, ...]) -> str:
    if not given:
        return "no file is given"
    for layout in layouts:
        missing = [key for key in layout.roles if key not in given]
        if given < layout.roles.keys():
            return f"{' and '.join(sorted(given))} is given without {' and '.join(missing)}"
    return f"{' and '.join(sorted(given))} do not belong together"
