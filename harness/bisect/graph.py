"""The tensors of a model and what each is computed from."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from harness.spec import Frozen


class Weight(Frozen, frozen=True, array_like=True):
    """A constant that an operator takes; `largest` is its largest magnitude, None if it is not of floats."""

    name: str
    shape: tuple[int, ...]
    largest: float | None


class Tensor(Frozen, frozen=True, kw_only=True):
    """One result of one operator; `inputs` are what it is computed from, the model's inputs among them.

    `can_be_kept`: whether it can be made an output of the model.
    """

    name: str
    operator: str
    node: str
    inputs: tuple[str, ...]
    weights: tuple[Weight, ...] = ()
    can_be_kept: bool = True


@dataclass(frozen=True)
class Graph:
    """Tensors in topological order: none is computed from a later one."""

    tensors: tuple[Tensor, ...]

    def __getitem__(self, name: str) -> Tensor:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def ordered(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that are in the graph, in topological order."""
        return sorted((name for name in set(names) if name in self), key=self._positions.__getitem__)

    def origins(self, *names: str) -> set[str]:
        """Everything that `names` are computed from, without the model's inputs; `names` are not in it."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            before = [one for one in self[waiting.pop()].inputs if one in self and one not in found]
            found.update(before)
            waiting += before
        return found

    def users(self, name: str) -> list[Tensor]:
        """What is computed from `name` directly."""
        return [tensor for tensor in self.tensors if name in tensor.inputs]

    @cached_property
    def _by_name(self) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {tensor.name: number for number, tensor in enumerate(self.tensors)}
