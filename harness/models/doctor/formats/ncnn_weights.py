"""How many bytes of a .bin the layers of a .param take: `load_model` of ncnn's src/layer/*.cpp.

Weights begin with a tag that says how they are stored, biases and scales do not.
https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Self

HALF: Final = 0x01306B47
INT8: Final = 0x000D4B38
RAW: Final = 0x0002C056
"""Tags: half floats, int8 with scales elsewhere, plain floats; 0 is plain floats too."""

WEIGHTLESS: Final = frozenset(
    (
        *(
            "AbsVal",
            "ArgMax",
            "BNLL",
            "BinaryOp",
            "CELU",
            "Clip",
            "Concat",
            "CopyTo",
            "Crop",
            "CumulativeSum",
        ),
        *(
            "DeepCopy",
            "Diag",
            "Dropout",
            "Einsum",
            "ELU",
            "Eltwise",
            "Erf",
            "Exp",
            "ExpandDims",
            "Flatten",
            "Fold",
        ),
        *("GELU", "GLU", "GridSample", "HardSigmoid", "HardSwish", "Input", "Interp", "L2Norm", "Log", "LRN"),
        *(
            "MatMul",
            "Mish",
            "MVN",
            "Noop",
            "Packing",
            "Padding",
            "Permute",
            "PixelShuffle",
            "Pooling",
            "Pooling1D",
        ),
        *("Pooling3D", "Power", "PriorBox", "Proposal", "Reduction", "ReLU", "Reorg", "Reshape", "ROIAlign"),
        *(
            "ROIPooling",
            "SELU",
            "Shrink",
            "ShuffleChannel",
            "Sigmoid",
            "Slice",
            "Softmax",
            "Softplus",
            "Split",
        ),
        *("Squeeze", "Swish", "TanH", "Threshold", "Tile", "UnaryOp", "Unfold", "Yolov3DetectionOutput"),
    )
)
"""Layers that read nothing from the .bin."""


class CutError(Exception):
    """The file ends within a layer's weights."""


class UnknownLengthError(Exception):
    """How long this layer's weights are is not known here."""


class Layer(NamedTuple):
    """One line of a .param."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: dict[int, str]

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """The layer that `line` says, None when it says none."""
        words = line.split()
        if len(words) < 4 or not (words[2].isdecimal() and words[3].isdecimal()):
            return None
        first, last = 4 + int(words[2]), 4 + int(words[2]) + int(words[3])
        if len(words) < last:
            return None
        pairs = [word.partition("=") for word in words[last:] if "=" in word]
        if not all(key.lstrip("-").isdecimal() for key, _, _ in pairs):
            return None
        settings = {int(key): value for key, _, value in pairs}
        return cls(words[0], words[1], tuple(words[4:first]), tuple(words[first:last]), settings)

    def number(self, key: int, otherwise: int = 0) -> int:
        """The setting `key`, a whole number."""
        try:
            return int(self.settings.get(key, otherwise))
        except ValueError as failed:
            raise UnknownLengthError(
                f"{self.kind} {self.name}, whose setting {key} is no whole number"
            ) from failed


class _Place:
    """Where in the file the next weights begin."""

    def __init__(self, data: memoryview) -> None:
        self._data, self.at = data, 0

    def raw(self, count: int, width: int = 4) -> None:
        """Pass over numbers without a tag."""
        if count < 0:
            raise UnknownLengthError(f"a size of {count}")
        self.at += count * width
        if self.at > len(self._data):
            raise CutError(f"{self.at} bytes are needed so far")

    def tagged(self, count: int) -> None:
        """Pass over weights, stored as their tag says."""
        begin = self.at
        self.raw(1)
        (tag,) = struct.unpack_from("<I", self._data, begin)
        if tag in {0, RAW}:
            self.raw(count)
        elif tag in {HALF, INT8}:
            # Padded to four bytes.
            self.raw(-(-count * (2 if tag == HALF else 1) // 4))
        else:
            raise UnknownLengthError(f"weights with the tag {tag:#x}")


def walk(layers: Iterable[Layer], data: memoryview) -> int:
    """Bytes that the layers' weights take of `data`, the whole .bin.

    Raises CutError when it ends before, UnknownLengthError at a layer that is not known here.
    """
    place = _Place(data)
    for layer in layers:
        if layer.kind in WEIGHTLESS:
            continue
        called = f"{layer.kind} {layer.name}"
        if layer.kind not in READERS:
            raise UnknownLengthError(called)
        try:
            READERS[layer.kind](layer, place)
        except CutError as failed:
            raise CutError(f"it ends within {called}; {failed}") from failed
        except UnknownLengthError as failed:
            raise UnknownLengthError(f"{called}: {failed}") from failed
    return place.at


def _convolution(layer: Layer, place: _Place) -> None:
    if layer.number(19):
        return  # its weights come as an input
    place.tagged(layer.number(6))
    if layer.number(5):
        place.raw(layer.number(0))
    _refuse_int8(layer)


def _inner_product(layer: Layer, place: _Place) -> None:
    place.tagged(layer.number(2))
    if layer.number(1):
        place.raw(layer.number(0))
    _refuse_int8(layer)


def _refuse_int8(layer: Layer) -> None:
    if layer.number(8):
        raise UnknownLengthError("int8 scales")


def _batch_norm(layer: Layer, place: _Place) -> None:
    place.raw(4 * layer.number(0))


def _scale(layer: Layer, place: _Place) -> None:
    if layer.number(0) == -233:
        return  # its scale comes as an input
    place.raw(layer.number(0) * (2 if layer.number(1) else 1))


def _bias(layer: Layer, place: _Place) -> None:
    place.raw(layer.number(0))


def _layer_norm(layer: Layer, place: _Place) -> None:
    if layer.number(2, 1):
        place.raw(2 * layer.number(0))


def _group_norm(layer: Layer, place: _Place) -> None:
    if layer.number(3, 1):
        place.raw(2 * layer.number(1))


def _instance_norm(layer: Layer, place: _Place) -> None:
    if layer.number(2, 1):
        place.raw(2 * layer.number(0))


def _embed(layer: Layer, place: _Place) -> None:
    place.tagged(layer.number(3))
    if layer.number(2):
        place.raw(layer.number(0))


def _attention(layer: Layer, place: _Place) -> None:
    width, square = layer.number(0), layer.number(2)
    inputs = (layer.number(3, width), layer.number(4, width))
    for count in (square, *(width * size for size in inputs)):
        place.tagged(count)
        place.raw(width)
    place.tagged(square)
    place.raw(square // width if width else 0)
    if layer.number(18):
        raise UnknownLengthError("int8 scales")


def _gemm(layer: Layer, place: _Place) -> None:
    rows, columns, inner = (layer.number(key) for key in (7, 8, 9))
    if layer.number(18):
        raise UnknownLengthError("int8 scales")
    if layer.number(4):
        place.tagged(rows * inner)
    if layer.number(5):
        place.tagged(inner * columns)
    if layer.number(6) and layer.number(10) != -1:
        form = layer.number(10)
        if form not in range(5):
            raise UnknownLengthError(f"a bias of form {form}")
        place.tagged((1, rows, rows, rows * columns, columns)[form])


def _memory_data(layer: Layer, place: _Place) -> None:
    extents = [extent for extent in (layer.number(key) for key in (0, 1, 11, 2)) if extent]
    count = 1
    for extent in extents:
        count *= extent
    if layer.number(21, 1) == 1:
        place.raw(count if extents else 0)
    else:
        place.tagged(count if extents else 0)


READERS: Final[Mapping[str, Callable[[Layer, _Place], None]]] = {
    **dict.fromkeys(
        ("Convolution", "ConvolutionDepthWise", "Convolution1D", "ConvolutionDepthWise1D"), _convolution
    ),
    **dict.fromkeys(("Convolution3D", "ConvolutionDepthWise3D"), _convolution),
    **dict.fromkeys(("Deconvolution", "DeconvolutionDepthWise"), _convolution),
    "InnerProduct": _inner_product,
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "Bias": _bias,
    "PReLU": _bias,
    "LayerNorm": _layer_norm,
    "GroupNorm": _group_norm,
    "InstanceNorm": _instance_norm,
    "Embed": _embed,
    "Gemm": _gemm,
    "MemoryData": _memory_data,
    "MultiHeadAttention": _attention,
}
"""Layer -> how its weights lie in the file; others are not known here."""
