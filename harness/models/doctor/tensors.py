"""Tensors by name, as headers describe them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod

from harness.models.doctor.findings import counted, sized
from harness.spec import Frozen


class Tensor(Frozen, frozen=True, kw_only=True):
    """A tensor that the header of `file` describes; `dtype` as numpy and torch call it."""

    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    file: str

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


Tensors = Mapping[str, Tensor]


def described(tensors: Tensors) -> str:
    """How many parameters of what type and size, in a few words."""
    return amount(
        sum(t.parameters for t in tensors.values()), _dtypes(tensors.values()), total_bytes(tensors)
    )


def amount(parameters: int, dtypes: str, size_bytes: int) -> str:
    """`1.10 M parameters, float16, 2.1 MiB`."""
    return f"{counted(parameters)} parameters, {dtypes or 'no type'}, {sized(size_bytes)}"


def total_bytes(tensors: Tensors) -> int:
    """What the tensors take."""
    return sum(tensor.size_bytes for tensor in tensors.values())


def _dtypes(tensors: Iterable[Tensor]) -> str:
    """Types by how many parameters have them."""
    parameters: Counter[str] = Counter()
    for tensor in tensors:
        parameters[tensor.dtype] += tensor.parameters
    return " and ".join(name for name, _ in parameters.most_common(3))
