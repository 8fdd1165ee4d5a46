"""A family's tensors: those that every model has, and those of each layer."""

from harness.models.doctor.config import Config
from harness.spec import Frozen

Shape = tuple[int, ...]


class Layout(Frozen, frozen=True, kw_only=True):
    """Names and shapes of tensors.

    `base` is what precedes them in a model with a head and is left out in one without; `layer` precedes the
    number of a layer; `head` are names, without `base` before them, that only a model with a head has.
    `optional` are patterns of names that may be there or not.
    """

    base: str
    layer: str
    layers: int
    fixed: dict[str, Shape]
    per_layer: dict[str, Shape]
    head: dict[str, Shape] = {}
    embedding: str
    optional: tuple[str, ...] = ()


def number(config: Config, key: str) -> int:
    """The whole number at `key`; raises KeyError when it lacks, TypeError when it is something else."""
    given = config[key]
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{key} is {given!r}, not a whole number")
    return given


def number_or(config: Config, key: str, otherwise: int) -> int:
    """The whole number at `key`, or what the family takes where there is none."""
    return otherwise if config.get(key) is None else number(config, key)


def linear(name: str, out: int, into: int, *, bias: bool = False) -> dict[str, Shape]:
    """Weight, and bias, of a linear layer."""
    return {f"{name}.weight": (out, into), **({f"{name}.bias": (out,)} if bias else {})}


def norm(name: str, size: int) -> dict[str, Shape]:
    """Weight and bias of a LayerNorm."""
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
