"""Read the files of a collection as their runtimes do: which are sound, and what the network takes."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from devices.base import DeviceError
from harness.cache import Cache, file_sha256
from harness.convert.interface import Interface, Port, read_interface
from harness.convert.matching import Wanted, match_inputs, match_outputs
from harness.convert.supplied import refuse_pointer
from harness.errors import PocketbenchError
from harness.models.collection import FoundArtifact, LeftOut, Network
from harness.models.doctor.formats.naive_buffer import targets_of
from harness.runtimes import RUNTIMES
from harness.spec import Frozen, TensorSpec

OPEN = 0
"""Stands in a shape for a size that no file of the network tells; the zoo refuses it."""

_TELLING = ("onnxruntime", "mnn", "paddlelite", "ncnn")
"""Whose word counts for names and shapes: those that keep the network's own first."""


class ReadArtifact(Frozen, frozen=True, kw_only=True):
    """An artifact that its runtime reads; `note` is what somebody who measures it should know."""

    found: FoundArtifact
    sha256: dict[str, str]
    interface: Interface
    note: str = ""


class ReadNetwork(Frozen, frozen=True, kw_only=True):
    """A network whose files agree on `inputs`, in which sizes may be OPEN."""

    name: str
    inputs: tuple[TensorSpec, ...]
    artifacts: tuple[ReadArtifact, ...]

    @property
    def open_inputs(self) -> tuple[str, ...]:
        """Names of the inputs whose shape has to be filled in."""
        return tuple(tensor.name for tensor in self.inputs if OPEN in tensor.shape)


def read_networks(
    cache: Cache, root: Path, networks: Sequence[Network], report: Callable[[int, int], None]
) -> tuple[tuple[ReadNetwork, ...], tuple[LeftOut, ...]]:
    """What of `networks` in `root` can be measured, and what cannot; `report(done, total)` counts files."""
    artifacts = [one for network in networks for one in network.artifacts]
    done: dict[str, ReadArtifact | LeftOut] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for one in pool.map(lambda found: _read(cache, root, found), artifacts):
            done[one.path if isinstance(one, LeftOut) else one.found.path] = one
            report(len(done), len(artifacts))
    left_out = [one for one in done.values() if isinstance(one, LeftOut)]
    read = []
    for network in networks:
        sound = [one for found in network.artifacts if isinstance(one := done[found.path], ReadArtifact)]
        if sound:
            agreed, others = _agreed(network.name, sound)
            read.append(agreed)
            left_out += others
    return tuple(read), tuple(left_out)


def _read(cache: Cache, root: Path, found: FoundArtifact) -> ReadArtifact | LeftOut:
    files = {role: root / path for role, path in found.files.items()}
    try:
        for path in files.values():
            refuse_pointer(path)
        note = _note(files)
        version = RUNTIMES[found.runtime].default_version
        interface = read_interface(cache, found.runtime, version, files)
    except (PocketbenchError, DeviceError, OSError) as error:
        return LeftOut(path=found.path, reason=str(error))
    hashes = {role: file_sha256(path) for role, path in files.items()}
    return ReadArtifact(found=found, sha256=hashes, interface=interface, note=note)


def _note(files: Mapping[str, Path]) -> str:
    if "nb" not in files:
        return ""
    targets = targets_of(files["nb"])
    return f"for {' and '.join(sorted(targets))}" if targets else ""


def _agreed(name: str, sound: Sequence[ReadArtifact]) -> tuple[ReadNetwork, list[LeftOut]]:
    ranked = sorted(sound, key=lambda one: (one.found.precision != "fp32", _TELLING.index(one.found.runtime)))
    inputs = tuple(_input(port, index, ranked) for index, port in enumerate(ranked[0].interface.inputs))
    wanted = [Wanted.of(tensor) for tensor in inputs]
    kept, left_out = [], []
    for one in sound:
        try:
            match_inputs(wanted, one.interface.inputs, {}, hints=one.found.runtime == "ncnn")
        except PocketbenchError as error:
            reason = f"does not take what {ranked[0].found.path} takes: {error}"
            left_out.append(LeftOut(path=one.found.path, reason=reason))
        else:
            kept.append(one)
    told = [msgspec.structs.replace(one, note=_outputs_note(ranked[0], one) or one.note) for one in kept]
    return ReadNetwork(name=name, inputs=inputs, artifacts=tuple(told)), left_out


def _input(port: Port, index: int, ranked: Sequence[ReadArtifact]) -> TensorSpec:
    """The input as the zoo has it; a size that one file leaves open is taken from another that does not."""
    shapes = [shape for one in ranked if (shape := _shape_of(one, port, index)) is not None]
    rank = len(shapes[0]) if shapes else 4
    sizes = []
    for axis in range(rank):
        known = [shape[axis] for shape in shapes if len(shape) == rank and shape[axis]]
        # An open first axis is the batch.
        sizes.append(known[0] if known else 1 if axis == 0 else OPEN)
    return TensorSpec(
        name=port.name, shape=tuple(size or OPEN for size in sizes), dtype=port.dtype or "float32"
    )


def _shape_of(one: ReadArtifact, port: Port, index: int) -> tuple[int | None, ...] | None:
    """The shape that an artifact gives the input of that name, or at that place where names differ."""
    ports = one.interface.inputs
    same = next((other for other in ports if other.name == port.name), None)
    found = same or (ports[index] if index < len(ports) else None)
    if found is None or found.shape is None:
        return None
    return (1, *found.shape) if one.found.runtime == "ncnn" else found.shape


def _outputs_note(telling: ReadArtifact, one: ReadArtifact) -> str:
    """What has to be filled in before outputs can be compared; empty when they can be told apart."""
    if len(telling.interface.outputs) < 2 or one is telling:
        return ""
    wanted = [
        Wanted(
            names=(port.name,), shape=tuple(size or OPEN for size in port.shape or ()), dtype=port.dtype or ""
        )
        for port in telling.interface.outputs
    ]
    try:
        match_outputs(wanted, one.interface.outputs, ())
    except PocketbenchError:
        names = ", ".join(f'"{port.name}"' for port in one.interface.outputs)
        return f"fill in outputs = [...] in the order of the reference's, of {names}"
    return ""
