"""Artifacts that somebody else made: files of the zoo's `artifacts`, checked and put where launches stage.

Nothing is converted. What they compute is parity's to judge; that they are there, are the files the zoo says,
can be read by their runtime, take what the model is fed and fit the device's processor is checked here.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness.cache import Cache, file_sha256
from harness.convert import MadeArtifact, param_text
from harness.convert.base import Format
from harness.convert.interface import Interface, Port, read_interface
from harness.convert.matching import Wanted, match_inputs, match_outputs
from harness.convert.paddlelite import TARGETS
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.models.artifact_tables import backends_of
from harness.models.doctor.formats.naive_buffer import check_target
from harness.models.sources import fetch
from harness.models.sources.folders import is_pointer
from harness.spec import Artifact, Frozen, Model, SuppliedArtifact, TensorSpec

SUPPLIED: Final = "supplied"
"""Stands in a record where the converter would."""


class Supply(Frozen, frozen=True, kw_only=True):
    """A supplied artifact that can be launched, and what its file calls what goes in and comes out."""

    artifact: MadeArtifact
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def find_supplied(model: Model, form: Format) -> SuppliedArtifact | None:
    """The artifact of `model` for `form`'s runtime, precision and backend, if it has one."""
    return next(
        (
            one
            for one in model.artifacts
            if (one.runtime, one.precision) == (form.runtime, form.precision)
            and form.backend in backends_of(one)
        ),
        None,
    )


def nothing_for(model: Model, form: Format) -> UnsupportedError:
    """Why there is no artifact of `model`, which has no source, for `form`."""
    held = [f"{one.runtime} {one.precision} ({'/'.join(backends_of(one))})" for one in model.artifacts]
    held += [f"{one.framework} for {one.runtime}" for one in model.originals]
    return UnsupportedError(
        f"{model.name} has no artifact for {form.runtime} {form.precision} ({form.backend}) and no source to "
        f"convert one from; it has {', '.join(held)}"
    )


def supply(
    cache: Cache,
    model: Model,
    given: SuppliedArtifact,
    form: Format,
    base: Path,
    *,
    inputs: Sequence[Wanted],
    outputs: Sequence[Wanted] | None,
) -> Supply:
    """`given`, ready to be launched; without `outputs`, which are the reference's, all the file has.

    Raises PocketbenchError when a file is missing or another than the zoo says, or when its inputs are not
    the model's; ConversionError when its runtime cannot read it, UnsupportedError when it is for another
    processor.
    """
    where = f"model {model.name}, {given.runtime} {given.precision}"
    try:
        files = {
            role: _fetched(cache, pinned.source, pinned.sha256, base) for role, pinned in given.files.items()
        }
        if "nb" in files:
            check_target(files["nb"], TARGETS.get(form.arch or "x86_64", "x86"), form.arch)
        interface = read_interface(cache, form.runtime, form.version, files)
        hints = form.runtime == "ncnn"
        taken = match_inputs(inputs, interface.inputs, given.inputs, hints=hints)
        told = outputs_told(interface, outputs, given.outputs)
    except ConversionError as error:
        raise ConversionError(f"{where} ({_sources(given)}): {error}", error.log) from error
    except UnsupportedError as error:
        # Its subclasses, such as a tool that hung, are refusals of another kind.
        raise type(error)(f"{where}: {error}") from error
    except PocketbenchError as error:
        raise PocketbenchError(f"{where} ({_sources(given)}): {error}") from error
    specs = tuple(
        TensorSpec(name=name, shape=one.shape, dtype=one.dtype)
        for name, one in zip(taken, inputs, strict=True)
    )
    return Supply(
        artifact=_placed(cache, given, files, interface, specs, told),
        inputs=specs,
        outputs=told,
    )


def _fetched(cache: Cache, source: str, sha256: str | None, base: Path) -> Path:
    if source.startswith("file:"):
        local = base / Path(source.removeprefix("file:")).expanduser()
        if local.is_file():
            # Before the hash is compared: a pointer has another, and that would say nothing.
            refuse_pointer(local)
            sha256 = sha256 or file_sha256(local)
    path = fetch(cache, source, sha256, base=base)
    if not path.is_file():
        raise PocketbenchError(f"{path.name} is a folder; an artifact names its files one by one")
    refuse_pointer(path)
    return path


def refuse_pointer(path: Path) -> None:
    """Raise PocketbenchError when git-lfs left a pointer at `path` in place of the file."""
    if is_pointer(path):
        raise PocketbenchError(
            f"{path.name} is a git-lfs pointer, not the file it stands for: run `git lfs pull` where it "
            "was cloned, or download the file itself"
        )


def outputs_told(
    interface: Interface, wanted: Sequence[Wanted] | None, named: Sequence[str]
) -> tuple[TensorSpec, ...]:
    """What the job is told of the outputs; their shapes are those of the reference, where there is one."""
    if wanted is not None:
        names = match_outputs(wanted, interface.outputs, named)
        pairs = zip(names, wanted, strict=True)
        return tuple(TensorSpec(name=name, shape=one.shape, dtype=one.dtype) for name, one in pairs)
    by_name = {port.name: port for port in interface.outputs}
    unknown = [name for name in named if name not in by_name]
    if unknown:
        raise PocketbenchError(f"the file has no output {unknown[0]!r}; it has {', '.join(by_name)}")
    ports: Sequence[Port] = [by_name[name] for name in named] or interface.outputs
    return tuple(TensorSpec(name=port.name, shape=(), dtype=port.dtype or "float32") for port in ports)


def _placed(
    cache: Cache,
    given: SuppliedArtifact,
    files: Mapping[str, Path],
    interface: Interface,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> MadeArtifact:
    """The files in a directory of their own, as launches stage it."""
    names = _blob_names(inputs, outputs) if given.runtime == "ncnn" else {}
    hashes = {role: file_sha256(path) for role, path in files.items()}
    placed = {role: f"model.{role}" for role in files}
    key = {"supplied": hashes, "blobs": names}

    def build(path: Path) -> None:
        for role, source in files.items():
            shutil.copyfile(source, path / placed[role])
            if file_sha256(path / placed[role]) != hashes[role]:
                raise PocketbenchError(f"{source} changed while it was read; run again")
        if names:
            param = path / placed["param"]
            param.write_text(param_text.renamed(param.read_text("utf-8"), names), "utf-8")

    path = cache.entry("supplied", key, build)
    record = Artifact(
        key=path.name,
        converter=SUPPLIED,
        options={
            "sources": {role: pinned.source for role, pinned in given.files.items()},
            "source_sha256": hashes,
            "inputs": [tensor.name for tensor in inputs],
            "outputs": [tensor.name for tensor in outputs],
        },
        files=placed,
        size_bytes=sum((path / name).stat().st_size for name in placed.values()),
        sha256={role: file_sha256(path / name) for role, name in placed.items()},
    )
    return MadeArtifact(
        path=path, record=record, job_options=job_options(given.runtime, interface, inputs, outputs)
    )


def _blob_names(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """The file's blobs by the names that every runner of ncnn asks for; none where they are these already."""
    names = {tensor.name: f"in{index}" for index, tensor in enumerate(inputs)}
    names |= {tensor.name: f"out{index}" for index, tensor in enumerate(outputs)}
    return {} if all(old == new for old, new in names.items()) else names


def job_options(
    runtime: str,
    interface: Interface,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> dict[str, Any]:
    """What the runner has to be told of a file that it would not know by itself."""
    if runtime == "ncnn":
        # Mats have no batch; whoever wrote the file fed it without one.
        shapes = [tensor.shape for tensor in inputs]
        return {"batch_axes": [0 if len(shape) > 1 and shape[0] == 1 else None for shape in shapes]}
    if runtime == "paddlelite":
        order = [port.name for port in interface.outputs]
        return {"output_indices": [order.index(tensor.name) for tensor in outputs]}
    return {}


def _sources(given: SuppliedArtifact) -> str:
    return ", ".join(pinned.source for pinned in given.files.values())
