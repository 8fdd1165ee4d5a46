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
from harness.toolchains import ONNX, TOOLS, require_files, run_tool

FREEZE = TOOLS / "freeze_onnx.py"


class Prepared(Frozen, frozen=True, kw_only=True):
    """A model with fixed shapes.

    `shaped` is the source with its shapes set, nothing else: the reference runs it, under the original
    tensor names. `frozen` is simplified and its names are safe for every converter; inputs and outputs
    are in the graph's order in both.
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


def prepare(cache: Cache, model: Model, base: Path) -> Prepared:
    """Fetch `model` (file: sources are relative to `base`) and freeze it.

    A source that is a folder of weights is exported first. Raises PocketbenchError when the source cannot be
    had, ConversionError when it cannot be exported or frozen.
    """
    if not model.source:
        raise UnsupportedError(f"{model.name} has no source that could be converted, only artifacts")
    source, sha256 = _graph(cache, model, base)
    key = {
        "sha256": sha256,
        "inputs": model.inputs,
        "constants": model.constants,
        "tools": ONNX,
        "script": file_sha256(FREEZE),
    }
    path = cache.entry("models", key, lambda path: _freeze(cache, model, source, path))
    report = msgspec.json.decode((path / "report.json").read_bytes(), type=_Report)
    declared = {tensor.name: tensor for tensor in model.inputs}
    return Prepared(
        name=model.name,
        frozen=path / "frozen.onnx",
        shaped=path / "shaped.onnx",
        sha256=file_sha256(path / "frozen.onnx"),
        shaped_sha256=file_sha256(path / "shaped.onnx"),
        inputs=tuple(
            TensorSpec(name=t.name, shape=declared[t.original].shape, dtype=declared[t.original].dtype)
            for t in report.inputs
        ),
        outputs=tuple(t.name for t in report.outputs),
        original_inputs=tuple(t.original for t in report.inputs),
        original_outputs=tuple(t.original for t in report.outputs),
        tokens=tokens if (tokens := source.with_name("tokens.json")).is_file() else None,
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


def _graph(cache: Cache, model: Model, base: Path) -> tuple[Path, str]:
    """The model's ONNX file, exported where its source is a folder of weights, and a digest of it."""
    source = fetch(cache, model.source, model.sha256 or None, base=base)
    if not source.is_dir():
        return source, model.sha256 or file_sha256(source)
    graphs = sorted(source.glob("*.onnx"))
    if len(graphs) == 1 and not (source / "config.json").is_file():
        # With its weights in other files, which is why it comes as a folder.
        return graphs[0], model.sha256 or tree_sha256(source)
    try:
        exported = export_onnx(cache, source, model.export)
    except ConversionError as error:
        raise ConversionError(f"model {model.name} ({model.source}): {error}", error.log) from error
    return exported, exported.parent.name


def _freeze(cache: Cache, model: Model, source: Path, path: Path) -> None:
    tools = environment(cache, ONNX)
    request = {
        "model": str(source),
        "inputs": model.inputs,
        "constants": model.constants,
        "shaped": str(path / "shaped.onnx"),
        "frozen": str(path / "frozen.onnx"),
        "report": str(path / "report.json"),
    }
    (path / "request.json").write_bytes(msgspec.json.encode(request))
    try:
        printed = run_tool(
            "freezing",
            tools.command(str(FREEZE), "request.json"),
            cwd=path,
            env=tools.variables(),
        )
    except ConversionError as error:
        raise ConversionError(f"model {model.name} ({model.source}): {error}", error.log) from error
    require_files("freezing", printed, path / "shaped.onnx", path / "frozen.onnx", path / "report.json")
