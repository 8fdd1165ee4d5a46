"""From a zoo entry to what converters and runners take: a frozen ONNX file and a feed, both cached."""

import inspect
from pathlib import Path

import msgspec
import numpy as np

from harness.cache import Cache, file_sha256, tree_sha256
from harness.environments import environment
from harness.errors import ConversionError, UnsupportedError
from harness.models import feeds
from harness.models.export import export_onnx
from harness.models.sources import fetch
from harness.spec import Frozen, Model, TensorSpec
from harness.toolchains import ONNX, TOOLS, require_files, run_tool, time_for

FREEZE = ("freeze_onnx.py", "simplify_onnx.py", "onnx_names.py", "onnx_channels.py", "weights_beside.py")

LARGEST_FILE_BYTES = 2_000_000_000
"""Weights of as many bytes lie in a file beside the ONNX file: protobuf ends at 2 GiB, graph and all."""


class Prepared(Frozen, frozen=True, kw_only=True):
    """A model with fixed shapes.

    `shaped` is the source with its shapes set, nothing else: the reference runs it, under the original
    tensor names. `frozen` is simplified and its names are safe for every converter; inputs and outputs
    are in the graph's order in both. The hashes cover the weights, also where they lie beside a file.
    """

    name: str
    frozen: Path
    shaped: Path
    sha256: str
    shaped_sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    original_inputs: tuple[str, ...]
    original_outputs: tuple[str, ...]
    tokens: Path | None = None
    """A text in the words of the source's tokenizer, where it has one: what the feed `tokens` is made of."""

    @property
    def weights(self) -> Path | None:
        """The file beside `frozen` with its weights, where they are too many for one file."""
        return weights_beside(self.frozen)


def weights_beside(onnx: Path) -> Path | None:
    """The file of weights that lies beside an ONNX file of ours, if there is one."""
    beside = onnx.with_name(f"{onnx.name}.data")
    return beside if beside.is_file() else None


def onnx_sha256(onnx: Path) -> str:
    """SHA-256 of an ONNX file, and of its weights where they lie beside it."""
    weights = weights_beside(onnx)
    return tree_sha256(onnx.parent, [onnx, weights]) if weights else file_sha256(onnx)


class Feed(Frozen, frozen=True, kw_only=True):
    """One .npy file per input, in the order of the prepared model's inputs."""

    path: Path
    files: tuple[str, ...]
    digest: str


class _Tensor(msgspec.Struct, frozen=True):
    name: str
    original: str
    shape: list[int | None] | None = None
    dtype: str | None = None


class _Report(msgspec.Struct, frozen=True):
    inputs: list[_Tensor]
    outputs: list[_Tensor]


def prepare(
    cache: Cache, model: Model, base: Path, *, largest_file_bytes: int = LARGEST_FILE_BYTES
) -> Prepared:
    """Fetch `model` (file: sources are relative to `base`) and freeze it.

    A source that is a folder of weights is exported first. Weights of `largest_file_bytes` or more are in a
    file beside each of the two. Raises PocketbenchError when the source cannot be had, ConversionError when
    it cannot be exported or frozen.
    """
    if not model.source:
        raise UnsupportedError(
            f"{model.name} has no source that could be converted: the zoo supplies its files, which are "
            "measured as they are"
        )
    graph = _graph(cache, model, base)
    key = {
        "sha256": graph.sha256,
        "inputs": model.inputs,
        "constants": model.constants,
        "tools": ONNX,
        "scripts": [file_sha256(TOOLS / name) for name in FREEZE],
        "largest_file_bytes": largest_file_bytes,
    }
    path = cache.entry("models", key, lambda path: _freeze(cache, model, graph, path, largest_file_bytes))
    digests = msgspec.json.decode((path / "digests.json").read_bytes(), type=dict[str, str])
    report = msgspec.json.decode((path / "report.json").read_bytes(), type=_Report)
    declared = {tensor.name: tensor for tensor in model.inputs}
    return Prepared(
        name=model.name,
        frozen=path / "frozen.onnx",
        shaped=path / "shaped.onnx",
        sha256=digests["frozen.onnx"],
        shaped_sha256=digests["shaped.onnx"],
        inputs=tuple(
            TensorSpec(name=t.name, shape=declared[t.original].shape, dtype=declared[t.original].dtype)
            for t in report.inputs
        ),
        outputs=tuple(t.name for t in report.outputs),
        original_inputs=tuple(t.original for t in report.inputs),
        original_outputs=tuple(t.original for t in report.outputs),
        tokens=tokens if (tokens := graph.path.with_name("tokens.json")).is_file() else None,
    )


def prepare_feed(cache: Cache, model: Model, prepared: Prepared | None, base: Path) -> Feed:
    """The model's feed as files, made when it is not there yet; in the zoo's order without a source."""
    order = prepared.original_inputs if prepared else tuple(tensor.name for tensor in model.inputs)
    code = Path(inspect.getfile(feeds)).parent
    tokens = prepared.tokens if prepared and model.feed == "tokens" and not model.feed_source else None
    key = {
        "feed": model.feed,
        "inputs": model.inputs,
        "order": order,
        "photo": file_sha256(tokens) if tokens else model.feed_sha256,
        "code": tree_sha256(code, (p for p in code.iterdir() if p.suffix in {".py", ".npy"})),
    }

    def build(path: Path) -> None:
        photo = tokens
        if model.feed_source is not None:
            photo = fetch(cache, model.feed_source, model.feed_sha256 or "", base=base)
        arrays = feeds.make_feed(model, photo)
        for index, name in enumerate(order):
            np.save(path / f"{index}.npy", arrays[name])

    path = cache.entry("feeds", key, build)
    files = tuple(f"{index}.npy" for index in range(len(order)))
    return Feed(path=path, files=files, digest=tree_sha256(path, [path / name for name in files]))


class _Graph(Frozen, frozen=True, kw_only=True):
    """An ONNX file, a digest of all that it consists of, and whether that is this file alone."""

    path: Path
    sha256: str
    alone: bool = False

    @property
    def size_bytes(self) -> int:
        """With all that lies beside it, where it is not alone."""
        files = [self.path] if self.alone else self.path.parent.iterdir()
        return sum(file.stat().st_size for file in files)


def _graph(cache: Cache, model: Model, base: Path) -> _Graph:
    """The model's ONNX file, exported where its source is a folder of weights."""
    source = fetch(cache, model.source, model.sha256 or None, base=base)
    if not source.is_dir():
        return _Graph(path=source, sha256=model.sha256 or file_sha256(source), alone=True)
    graphs = sorted(source.glob("*.onnx"))
    if len(graphs) == 1 and not (source / "config.json").is_file():
        # With its weights in other files, which is why it comes as a folder.
        return _Graph(path=graphs[0], sha256=model.sha256 or tree_sha256(source))
    try:
        exported = export_onnx(cache, source, model.export)
    except ConversionError as error:
        raise ConversionError(f"model {model.name} ({model.source}): {error}", error.log) from error
    return _Graph(path=exported, sha256=exported.parent.name)


def _freeze(cache: Cache, model: Model, graph: _Graph, path: Path, largest_file_bytes: int) -> None:
    tools = environment(cache, ONNX)
    request = {
        "model": str(graph.path),
        "alone": graph.alone,
        "inputs": model.inputs,
        "constants": model.constants,
        "shaped": str(path / "shaped.onnx"),
        "frozen": str(path / "frozen.onnx"),
        "report": str(path / "report.json"),
        "largest_file_bytes": largest_file_bytes,
    }
    (path / "request.json").write_bytes(msgspec.json.encode(request))
    try:
        printed = run_tool(
            "freezing",
            tools.command(str(TOOLS / FREEZE[0]), "request.json"),
            cwd=path,
            env=tools.variables(),
            timeout_s=time_for(graph.size_bytes),
        )
    except ConversionError as error:
        raise ConversionError(f"model {model.name} ({model.source}): {error}", error.log) from error
    require_files("freezing", printed, path / "shaped.onnx", path / "frozen.onnx", path / "report.json")
    digests = {name: onnx_sha256(path / name) for name in ("shaped.onnx", "frozen.onnx")}
    (path / "digests.json").write_bytes(msgspec.json.encode(digests))
