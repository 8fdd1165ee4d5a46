"""Which of a converted file's inputs and outputs are the model's. Pure functions over names and shapes.

Converters rename: `/` becomes `_`, x2paddle puts its own name before every other, pnnx counts. So a tensor
is found by what the zoo says, else by its name, else by being the only one, else by the number that pnnx and
Paddle give it, else by a shape no other has; anything less is a guess, and refused with the names there are.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter

from harness.convert.interface import Port, told
from harness.errors import PocketbenchError
from harness.spec import Frozen, TensorSpec

NARROWED = {"int64": "int32"}
"""What MNN keeps whole numbers in; its runner narrows what it is fed."""

_PREFIX = re.compile(r"^x2paddle_")
_NUMBERED = re.compile(r"(?:in|out|save_infer_model/scale_)(\d+)(?:\.tmp_\d+)?")
"""What pnnx and Paddle call inputs and outputs: by their place in the network they were made from."""


class Wanted(Frozen, frozen=True, kw_only=True):
    """A tensor of the model and every name it is known by; the first is the zoo's."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, tensor: TensorSpec, *names: str) -> "Wanted":
        """`tensor` under its own name and `names`, which come first."""
        return cls(names=(*names, tensor.name), shape=tensor.shape, dtype=tensor.dtype)

    def __str__(self) -> str:
        return f"{self.names[0]} ({told(self.shape, self.dtype)})"


_Way = Callable[[Wanted, Sequence[Port], Sequence[Wanted]], Port | None]
"""Tells which of the ports that are left is one of the tensors that have none yet, or None."""


def match_inputs(
    wanted: Sequence[Wanted], ports: Sequence[Port], named: Mapping[str, str], *, hints: bool
) -> tuple[str, ...]:
    """The file's names of the model's inputs, in their order; `named`: the zoo's name -> the file's.

    With `hints` the file's shapes have no batch and bind nothing but the number of channels. Raises
    PocketbenchError when a tensor is not found, does not fit, or one of the file's is not fed.
    """
    for name in named.values():
        _check_there("input", name, ports)
    found = _matched("input", wanted, ports, named, hints=hints)
    unfed = [port for port in ports if port.name not in {one.name for one in found}]
    if unfed:
        raise PocketbenchError(
            f"nothing feeds the file's {_listed('input', unfed)}: the model's inputs are {_told(wanted)}"
        )
    for one, port in zip(wanted, found, strict=True):
        if not _fits(one, port, hints=hints):
            raise PocketbenchError(f"the file's input is {port}, the zoo says {one}")
    return tuple(port.name for port in found)


def match_outputs(wanted: Sequence[Wanted], ports: Sequence[Port], named: Sequence[str]) -> tuple[str, ...]:
    """The file's names of the reference's outputs, in their order; `named` are the zoo's words for them.

    Raises PocketbenchError when one is not found.
    """
    for name in named:
        _check_there("output", name, ports)
    if named and len(named) != len(wanted):
        raise PocketbenchError(
            f"outputs names {len(named)} of the file's, the reference has {len(wanted)}: {_told(wanted)}"
        )
    said = dict(zip((one.names[0] for one in wanted), named, strict=False))
    found = _matched("output", wanted, ports, said, hints=False)
    return tuple(port.name for port in found)


def _matched(
    kind: str, wanted: Sequence[Wanted], ports: Sequence[Port], said: Mapping[str, str], *, hints: bool
) -> list[Port]:
    """The port of each that is wanted; the surest way of telling goes first, for all of them."""
    ways: tuple[_Way, ...] = (partial(_said, said), _alike, _alone, _counted, partial(_shaped, hints=hints))
    found: dict[int, Port] = {}
    for way in ways:
        for index, one in enumerate(wanted):
            open_wanted = [w for i, w in enumerate(wanted) if i not in found]
            left = [port for port in ports if port not in found.values()]
            if index not in found and (port := way(one, left, open_wanted)) is not None:
                found[index] = port
    for index, one in enumerate(wanted):
        if index not in found:
            raise PocketbenchError(
                f"which of the file's {kind}s is {one} cannot be told: it has {_listed(kind, ports)}; "
                f"{_how(kind, one)}"
            )
    return [found[index] for index in range(len(wanted))]


def _said(
    said: Mapping[str, str], one: Wanted, left: Sequence[Port], _rivals: Sequence[Wanted]
) -> Port | None:
    return next((port for port in left if port.name == said.get(one.names[0])), None)


def _alike(one: Wanted, left: Sequence[Port], _rivals: Sequence[Wanted]) -> Port | None:
    names = {_plain(name) for name in one.names}
    alike = [port for port in left if _plain(port.name) in names]
    return alike[0] if len(alike) == 1 else None


def _alone(_one: Wanted, left: Sequence[Port], rivals: Sequence[Wanted]) -> Port | None:
    return left[0] if len(left) == len(rivals) == 1 else None


def _counted(one: Wanted, left: Sequence[Port], rivals: Sequence[Wanted]) -> Port | None:
    numbers = [int(match[1]) for port in left if (match := _NUMBERED.fullmatch(port.name))]
    if not len(numbers) == len(set(numbers)) == len(left) == len(rivals):
        return None
    ordered = sorted(zip(numbers, left, strict=True), key=itemgetter(0))
    return ordered[rivals.index(one)][1]


def _shaped(one: Wanted, left: Sequence[Port], rivals: Sequence[Wanted], *, hints: bool) -> Port | None:
    fitting = [port for port in left if port.shape is None or _fits(one, port, hints=hints)]
    alone = sum(rival.shape == one.shape for rival in rivals) == 1
    return fitting[0] if alone and len(fitting) == 1 else None


def _fits(wanted: Wanted, port: Port, *, hints: bool) -> bool:
    if port.dtype not in {None, wanted.dtype, NARROWED.get(wanted.dtype)}:
        return False
    if port.shape is None:
        return True
    shape = wanted.shape
    if hints:
        without_batch = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
        return len(port.shape) != len(without_batch) or port.shape[0] in {None, without_batch[0]}
    return len(port.shape) == len(shape) and all(
        size in {None, wish} for size, wish in zip(port.shape, shape, strict=True)
    )


def _check_there(kind: str, name: str, ports: Sequence[Port]) -> None:
    if name not in {port.name for port in ports}:
        raise PocketbenchError(f"the file has no {kind} {name!r}; it has {_listed(kind, ports)}")


def _how(kind: str, wanted: Wanted) -> str:
    if kind == "input":
        return f'say which with inputs = {{ "{wanted.names[0]}" = "NAME IN THE FILE" }}'
    return 'say which with outputs = ["NAME IN THE FILE", ...], in the order of the reference\'s'


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", _PREFIX.sub("", name))


def _listed(kind: str, ports: Sequence[Port]) -> str:
    return f"{kind}{'s' if len(ports) != 1 else ''} {', '.join(map(str, ports)) or 'none at all'}"


def _told(wanted: Sequence[Wanted]) -> str:
    return ", ".join(map(str, wanted))
