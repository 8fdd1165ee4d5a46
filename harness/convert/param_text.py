"""ncnn's .param files: text, one layer a line, that names layers and the blobs between them.

7767517
LAYERS BLOBS
KIND NAME INPUTS OUTPUTS INPUT_BLOB... OUTPUT_BLOB... KEY=VALUE...
"""

from collections.abc import Mapping, Sequence
from itertools import count

from harness.errors import ConversionError
from harness.spec import Frozen

MAGIC = "7767517"


class Layer(Frozen, frozen=True, kw_only=True):
    """One line: what it computes from which blobs."""

    kind: str
    name: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def line(self) -> str:
        """The line as ncnn reads it."""
        counts = f"{len(self.takes)} {len(self.gives)}"
        return " ".join(
            [f"{self.kind:<24} {self.name:<24} {counts}", *self.takes, *self.gives, *self.settings]
        )

    def shape(self) -> tuple[int | None, ...] | None:
        """Sizes that an Input layer declares, without a batch; None when it declares none.

        Keys are those of ncnn's src/layer/input.cpp: 0 width, 1 height, 2 channels, 11 depth.
        """
        said = dict(item.split("=", 1) for item in self.settings if "=" in item)
        sizes = [int(said.get(key, "0")) for key in ("2", "11", "1", "0")]
        return tuple(size if size > 0 else None for size in sizes if size != 0) or None


def read_layers(text: str) -> tuple[Layer, ...]:
    """Layers of a .param file in its order; raises ConversionError when it is none, or is cut off."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or lines[0].strip() != MAGIC:
        raise ConversionError(f"not an ncnn .param: its first line is not {MAGIC} (binary ones are not read)")
    try:
        declared = int(lines[1].split()[0])
        layers = tuple(_layer(line) for line in lines[2:])
    except (IndexError, ValueError) as error:
        raise ConversionError("not an ncnn .param: a line of it cannot be read") from error
    if len(layers) != declared:
        raise ConversionError(f"cut off: it announces {declared} layers and has {len(layers)}")
    return layers


def inputs_of(layers: Sequence[Layer]) -> dict[str, Layer]:
    """Input layers by the blob that each gives."""
    return {layer.gives[0]: layer for layer in layers if layer.kind == "Input" and layer.gives}


def outputs_of(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Blobs that nothing takes."""
    taken = {blob for layer in layers for blob in layer.takes}
    return tuple(
        blob for layer in layers if layer.kind != "Input" for blob in layer.gives if blob not in taken
    )


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The .param file with other names for blobs; a blob that has such a name already gets a free one."""
    layers = read_layers(text)
    present = {blob for layer in layers for blob in (*layer.takes, *layer.gives)}
    whole = dict(names)
    for blob in present & set(names.values()) - names.keys():
        free = (f"{blob}_{number}" for number in count(1))
        whole[blob] = next(name for name in free if name not in present and name not in whole.values())

    def new(blobs: Sequence[str]) -> tuple[str, ...]:
        return tuple(whole.get(blob, blob) for blob in blobs)

    head = [line for line in text.splitlines() if line.strip()][:2]
    lines = (
        Layer(
            kind=layer.kind,
            name=layer.name,
            takes=new(layer.takes),
            gives=new(layer.gives),
            settings=layer.settings,
        ).line
        for layer in layers
    )
    return "\n".join([*head, *lines, ""])


def _layer(line: str) -> Layer:
    kind, name, takes, gives, *rest = line.split()
    first, last = int(takes), int(takes) + int(gives)
    if len(rest) < last:
        raise ValueError(line)
    return Layer(
        kind=kind,
        name=name,
        takes=tuple(rest[:first]),
        gives=tuple(rest[first:last]),
        settings=tuple(rest[last:]),
    )
