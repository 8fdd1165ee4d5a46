"""ncnn's .param and .bin: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure.

The text names the layers, the other file holds their weights one after the other, without any names.
"""

from pathlib import Path
from typing import Final

from harness.models.doctor.files import broken
from harness.models.doctor.findings import Examined, Findings, error, good, listed, note, sized
from harness.models.doctor.formats.mapped import mapped
from harness.models.doctor.formats.ncnn_weights import WEIGHTLESS, CutError, Layer, UnknownLengthError, walk

MAGIC: Final = "7767517"
BINARY_MAGIC: Final = (7767517).to_bytes(4, "little")
AGAIN: Final = "copy or convert it again; both files belong together"


def check_ncnn(path: Path) -> Examined[str]:
    """Check a .param against itself and its .bin, given either of the two."""
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    if not param.is_file():
        told = f"is missing: {weights.name} alone is numbers without names"
        yield error("model", "no-param", param.name, told, AGAIN)
        return "ncnn, not readable"
    layers = yield from _read_param(param)
    if layers is None:
        return "ncnn, not readable"
    yield from _read_weights(weights, layers)
    inputs = [layer.name for layer in layers if layer.kind == "Input"]
    total = param.stat().st_size + (weights.stat().st_size if weights.is_file() else 0)
    return f"ncnn, {len(layers)} layers, inputs {listed(inputs) or 'unnamed'}, {sized(total)}"


def _read_param(path: Path) -> Examined[list[Layer] | None]:
    head = path.read_bytes()[:4]
    if head == BINARY_MAGIC:
        told = "is a binary .param.bin (ncnn2mem): its layers are not checked"
        yield note("model", "not-checked", path.name, told)
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        yield error("model", "not-ncnn", path.name, "is not text: no .param of ncnn's", AGAIN)
        return None
    if not lines or lines[0].strip() != MAGIC:
        begins = lines[0][:20] if lines else ""
        told = f"begins with {begins!r}, a .param with {MAGIC}"
        yield error("model", "not-ncnn", path.name, told, AGAIN)
        return None
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(count.isdecimal() for count in counts):
        yield error(
            "model", "not-ncnn", f"{path.name}:2", "is not a number of layers and one of blobs", AGAIN
        )
        return None
    return (yield from _layers(path.name, lines[2:], *map(int, counts)))


def _layers(name: str, lines: list[str], layer_count: int, blob_count: int) -> Examined[list[Layer] | None]:
    layers = []
    for number, line in enumerate(lines, 3):
        if not line.strip():
            continue
        layer = Layer.parse(line)
        if layer is None:
            told = "is not a layer: type, name, numbers of inputs and outputs, their names, then settings"
            yield error("model", "bad-layer", f"{name}:{number}", told, AGAIN)
            return None
        layers.append(layer)
    blobs = {blob for layer in layers for blob in layer.outputs}
    if len(layers) != layer_count:
        told = f"says {layer_count} layers and has {len(layers)}: it is cut off, or edited without its counts"
        yield error("model", "layer-count", f"{name}:2", told, AGAIN)
    elif len(blobs) != blob_count:
        told = f"says {blob_count} blobs and its layers make {len(blobs)}"
        yield error("model", "blob-count", f"{name}:2", told, AGAIN)
    unfed = [blob for layer in layers for blob in layer.inputs if blob not in blobs]
    if unfed:
        told = f"no layer makes {listed(unfed)}, which others take"
        yield error("model", "blob-unmade", name, told, AGAIN)
    if len(layers) == layer_count and len(blobs) == blob_count and not unfed:
        yield good("model", name, f"{len(layers)} layers, {len(blobs)} blobs")
    return layers


def _read_weights(path: Path, layers: list[Layer]) -> Findings:
    weighty = [layer for layer in layers if layer.kind not in WEIGHTLESS]
    if not path.is_file():
        told = f"is missing{f', and {len(weighty)} layers have their weights there' if weighty else ''}"
        yield error("model", "no-bin", path.name, told, AGAIN)
        return
    size = path.stat().st_size
    if size == 0:
        if weighty:
            told = f"is empty, and {len(weighty)} layers have their weights there"
            yield error("model", "truncated", path.name, told, AGAIN)
        else:
            yield good("model", path.name, "empty, as no layer has weights")
        return
    found = broken(path, path.name)
    if found is not None:
        yield found
        return
    with mapped(path) as data:
        try:
            read = walk(layers, data)
        except CutError as failed:
            told = f"is cut off: {failed} ({sized(size)} are there). ncnn crashes on such a file"
            yield error("model", "truncated", path.name, told, AGAIN)
            return
        except UnknownLengthError as failed:
            told = f"is whole up to {failed}; from there it is not checked"
            yield note("model", "not-checked", path.name, told)
            return
    if read != size:
        told = f"has {size} bytes, its layers take {read}: it belongs to another .param"
        yield error("model", "trailing-bytes", path.name, told, AGAIN)
    else:
        yield good("model", path.name, f"{sized(size)}, exactly what the layers take")
