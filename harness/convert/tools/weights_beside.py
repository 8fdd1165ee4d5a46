"""ONNX models whose large weights lie in a file beside them, read and written without holding the weights.

Protobuf ends at 2 GiB, and so does an ONNX file with its weights in it; ONNX calls weights elsewhere external
data. While a model is worked on, its large weights are better elsewhere too: whoever copies or serializes the
model then does not copy them.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import onnx
from onnx import AttributeProto, TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from onnx import GraphProto, ModelProto, NodeProto

LARGE_BYTES = 1 << 20
"""Smaller weights stay in the model: shapes and scales are read again and again."""

ALIGNMENT_BYTES = 64
"""Where a weight begins: runtimes compute on it where it is mapped into memory."""

COPIED_BYTES = 1 << 24


class WeightsError(Exception):
    """Weights are not where the model says; the text is the whole message."""


def beside(path: Path) -> Path:
    """The file of weights that belongs to the model at `path`, where there is one."""
    return path.with_name(f"{path.name}.data")


def read(path: Path, store: Path, *, alone: bool = False) -> ModelProto:
    """The model at `path` with its large weights in the file `store`, which is in the working directory.

    Raises WeightsError where weights are missing, or not in the model though they have to be (`alone`), and
    what onnx.load does for what is no model.
    """
    model = onnx.load(path, load_external_data=False)
    for tensor in filter(is_elsewhere, tensors(model.graph)):
        if alone:
            raise WeightsError(
                f"{path.name} has weights in another file, {place_of(tensor).get('location')}, of which its "
                "sha256 says nothing: make the folder of both the source"
            )
        if not is_large(tensor):
            fetch(tensor, path.parent)
    put_away(model, store, path.parent)
    # A copy: memory that a message once had it gives back as a whole only.
    return onnx.ModelProto.FromString(model.SerializeToString())


def put_away(model: ModelProto, store: Path, folder: Path = Path()) -> None:
    """Move the large weights of `model` to the end of the file `store`, in the working directory.

    Those that are elsewhere already are looked for in `folder` and copied, unless they are in `store`.
    """
    with store.open("ab") as stream:
        for tensor in tensors(model.graph):
            if is_large(tensor) and not (folder == Path() and place_of(tensor).get("location") == store.name):
                move(tensor, stream, store.name, folder)


def write(model: ModelProto, path: Path, largest_bytes: int) -> None:
    """Write a model whose large weights may be in files of the working directory.

    Weights of fewer than `largest_bytes` together become part of the file, others go to `beside(path)`.
    """
    whole = onnx.ModelProto.FromString(model.SerializeToString())
    if weights_bytes(whole) < largest_bytes:
        for tensor in filter(is_elsewhere, tensors(whole.graph)):
            fetch(tensor, Path())
        onnx.save(whole, path)
    else:
        write_apart(whole, path)


def write_apart(model: ModelProto, path: Path) -> None:
    """Write a model, and its large weights, which the message loses, to `beside(path)`."""
    weights = beside(path)
    with weights.open("wb") as stream:
        for tensor in filter(is_large, tensors(model.graph)):
            move(tensor, stream, weights.name, Path())
    onnx.save(model, path)


def write_as(model: ModelProto, path: Path, source: Path) -> None:
    """Write a model that was loaded whole from `source` in as many files as it has there."""
    if is_apart(source):
        write_apart(model, path)
    else:
        onnx.save(model, path)


def write_graph(model: ModelProto, path: Path, source: Path) -> None:
    """Write a model that was loaded from `source` without its weights, and a copy of these."""
    apart = list(filter(is_elsewhere, tensors(model.graph)))
    for tensor in apart:
        entry = next(entry for entry in tensor.external_data if entry.key == "location")
        entry.value = beside(path).name
    if apart:
        # Not linked: onnx takes weights with several names for an attack.
        shutil.copyfile(beside(source), beside(path))
    onnx.save(model, path)


def is_apart(path: Path) -> bool:
    """Whether the model at `path`, written by these functions, has weights in another file."""
    return beside(path).is_file()


def weights_bytes(model: ModelProto) -> int:
    """Bytes of all weights, wherever they are."""
    return sum(size_bytes(tensor) for tensor in tensors(model.graph))


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Weights, and the constants that some exporters write in their place, of inner graphs too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
        for inner in inner_graphs(node):
            yield from tensors(inner)


def inner_graphs(node: NodeProto) -> Iterator[GraphProto]:
    """Graphs in a node's attributes: branches and loop bodies."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def is_elsewhere(tensor: TensorProto) -> bool:
    """Whether a weight is in another file."""
    return tensor.data_location == TensorProto.EXTERNAL


def is_large(tensor: TensorProto) -> bool:
    """Whether a weight is better kept in a file; one that is not stored as plain bytes cannot be."""
    plain = is_elsewhere(tensor) or tensor.HasField("raw_data")
    return plain and size_bytes(tensor) >= LARGE_BYTES


def place_of(tensor: TensorProto) -> dict[str, str]:
    """Where a weight is in another file: location, offset, length; empty for one that is here."""
    return {entry.key: entry.value for entry in tensor.external_data}


def size_bytes(tensor: TensorProto) -> int:
    """Bytes of a weight, wherever it is; those of four bits share theirs."""
    told = place_of(tensor).get("length") if is_elsewhere(tensor) else None
    if told is not None:
        return int(told)
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    if tensor.data_type == TensorProto.STRING:
        return sum(map(len, tensor.string_data))
    count = 1
    for size in tensor.dims:
        count *= size
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return (count + 1) // 2 if "int4" in dtype.name or "float4" in dtype.name else count * dtype.itemsize


def move(tensor: TensorProto, stream: BinaryIO, name: str, folder: Path) -> None:
    """Append a weight to `stream`, a file called `name`, and leave a reference in its place."""
    stream.write(b"\0" * (-stream.tell() % ALIGNMENT_BYTES))
    begin = stream.tell()
    if is_elsewhere(tensor):
        with opened(tensor, folder) as source:
            copy(source, stream, size_bytes(tensor))
    else:
        stream.write(tensor.raw_data)
        tensor.ClearField("raw_data")
    place = {"location": name, "offset": begin, "length": stream.tell() - begin}
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))


def copy(source: BinaryIO, target: BinaryIO, count: int) -> None:
    """Copy `count` bytes, a few at a time."""
    while count:
        target.write(data := source.read(min(count, COPIED_BYTES)))
        count -= len(data)


def fetch(tensor: TensorProto, folder: Path) -> None:
    """Bring a weight that is in another file into the model."""
    with opened(tensor, folder) as source:
        tensor.raw_data = source.read(size_bytes(tensor))
    tensor.ClearField("data_location")
    del tensor.external_data[:]


def opened(tensor: TensorProto, folder: Path) -> BinaryIO:
    """The file of a weight that is elsewhere, at its beginning; raises WeightsError when it is not whole.

    Links are followed, which onnx itself refuses: a folder that is put together of others consists of them.
    """
    place = place_of(tensor)
    location, begin = place.get("location", ""), int(place.get("offset", 0))
    pure = PurePosixPath(location)
    if not location or pure.is_absolute() or ".." in pure.parts:
        raise WeightsError(f"the weight {tensor.name!r} is said to be in {location!r}, outside of the folder")
    try:
        stream = (folder / location).open("rb")
    except OSError as error:
        raise WeightsError(
            f"the weight {tensor.name!r} is said to be in {location}, which cannot be read: {error.strerror}"
        ) from error
    present = stream.seek(0, 2)
    if present < begin + size_bytes(tensor):
        stream.close()
        raise WeightsError(
            f"{location} is cut off: it has {present} bytes, and the weight {tensor.name!r} ends at "
            f"{begin + size_bytes(tensor)}"
        )
    stream.seek(begin)
    return stream
