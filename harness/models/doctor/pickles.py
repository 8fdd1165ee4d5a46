"""What a pickle would build and call, told from its opcodes: nothing is imported, nothing is called.

Enough of the pickle machine for what torch.save writes: https://docs.python.org/3/library/pickletools.html.
"""

import pickletools
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple


class Named(NamedTuple):
    """Something that unpickling would import."""

    module: str
    name: str


class Called(NamedTuple):
    """What unpickling would call, and with what."""

    function: Any
    arguments: Any


class Kept(NamedTuple):
    """What lies outside of the pickle, by its persistent id: torch's storages."""

    id: Any


class UnreadableError(Exception):
    """The pickle is damaged, or uses what torch.save does not write."""


class _Mark:
    """The bottom of a group on the stack."""


ARGUMENTS: Final = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"),
        *(
            "STRING",
            "BINSTRING",
            "SHORT_BINSTRING",
            "UNICODE",
            "BINUNICODE",
            "SHORT_BINUNICODE",
            "BINUNICODE8",
        ),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    )
)
"""Opcodes that push their argument."""

CONSTANTS: Final[dict[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
    "MARK": _Mark,
}
NOTHING: Final = frozenset(("PROTO", "FRAME", "STOP"))


def imports(data: bytes) -> list[Named]:
    """Everything that unpickling `data` would import, as far as it can be followed."""
    machine = _Machine()
    plain = []
    with suppress(UnreadableError):
        for opcode, argument, _ in _opcodes(data):
            if opcode in {"GLOBAL", "INST"}:
                plain.append(Named(*str(argument).split(" ", 1)))
    with suppress(UnreadableError):
        _run(machine, data)
    return list(dict.fromkeys((*plain, *machine.named)))


def content(data: bytes) -> Any:  # noqa: ANN401
    """What unpickling `data` would give, with Named, Called and Kept in place of what would run.

    Raises UnreadableError when the pickle is damaged or of a kind that torch.save does not write.
    """
    machine = _Machine()
    _run(machine, data)
    if len(machine.stack) != 1:
        raise UnreadableError("it ends in the middle")
    return machine.stack[0]


def _run(machine: "_Machine", data: bytes) -> None:
    for opcode, argument, _ in _opcodes(data):
        try:
            machine.step(opcode, argument)
        except (IndexError, KeyError, ValueError, TypeError, AttributeError) as failed:
            raise UnreadableError(f"{opcode} finds nothing to work on") from failed


def _opcodes(data: bytes) -> Iterator[tuple[str, Any, int | None]]:
    try:
        for opcode, argument, place in pickletools.genops(data):
            yield opcode.name, argument, place
    except (ValueError, IndexError, OverflowError) as failed:
        raise UnreadableError(str(failed)) from failed


class _Machine:
    """The stack and the memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.named: list[Named] = []
        self._memo: dict[int, Any] = {}

    def step(self, opcode: str, argument: Any) -> None:  # noqa: ANN401
        if opcode in NOTHING:
            return
        if opcode in ARGUMENTS:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode]())
        elif opcode in {"BINPUT", "LONG_BINPUT", "PUT"}:
            self._memo[int(argument)] = self.stack[-1]
        elif opcode == "MEMOIZE":
            self._memo[len(self._memo)] = self.stack[-1]
        elif opcode in {"BINGET", "LONG_BINGET", "GET"}:
            self.stack.append(self._memo[int(argument)])
        elif opcode in STEPS:
            STEPS[opcode](self, argument)
        else:
            raise UnreadableError(f"torch.save writes no {opcode}")

    def group(self) -> list[Any]:
        """What was pushed since the last mark, which goes with it."""
        at = max(index for index, value in enumerate(self.stack) if isinstance(value, _Mark))
        above = self.stack[at + 1 :]
        del self.stack[at:]
        return above

    def last(self, number: int) -> list[Any]:
        """The last `number` values, taken from the stack."""
        if len(self.stack) < number:
            raise IndexError(number)
        taken = self.stack[len(self.stack) - number :]
        del self.stack[len(self.stack) - number :]
        return taken


def _push(machine: _Machine, value: Any) -> None:  # noqa: ANN401
    machine.stack.append(value)


def _name(machine: _Machine, module: Any, name: Any) -> None:  # noqa: ANN401
    if not (isinstance(module, str) and isinstance(name, str)):
        raise TypeError("a name that is no text")
    named = Named(module, name)
    machine.named.append(named)
    machine.stack.append(named)


def _set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    # An OrderedDict is made by a call; its entries are what is of interest.
    holder = target if isinstance(target, dict) else target.arguments
    if isinstance(holder, dict):
        # Keys of weights are text or numbers; to hash others, nested without end, can end the process.
        pairs = zip(items[::2], items[1::2], strict=True)
        holder.update({key: value for key, value in pairs if isinstance(key, str | int)})


def _append(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target.extend(items)


def _call(machine: _Machine) -> None:
    function, arguments = machine.last(2)
    ordered = function == Named("collections", "OrderedDict") and arguments == ()
    machine.stack.append({} if ordered else Called(function, arguments))


STEPS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "GLOBAL": lambda m, a: _name(m, *str(a).split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: _name(m, *m.last(2)),
    "TUPLE": lambda m, _: _push(m, tuple(m.group())),
    "TUPLE1": lambda m, _: _push(m, tuple(m.last(1))),
    "TUPLE2": lambda m, _: _push(m, tuple(m.last(2))),
    "TUPLE3": lambda m, _: _push(m, tuple(m.last(3))),
    "LIST": lambda m, _: _push(m, m.group()),
    "BINPERSID": lambda m, _: _push(m, Kept(m.last(1)[0])),
    "PERSID": lambda m, a: _push(m, Kept(a)),
    "REDUCE": lambda m, _: _call(m),
    "NEWOBJ": lambda m, _: _call(m),
    "BUILD": lambda m, _: _append(m, m.last(1)),
    "SETITEM": lambda m, _: _set_items(m, m.last(2)),
    "SETITEMS": lambda m, _: _set_items(m, m.group()),
    "APPEND": lambda m, _: _append(m, m.last(1)),
    "APPENDS": lambda m, _: _append(m, m.group()),
    "ADDITEMS": lambda m, _: _append(m, m.group()),
    "POP": lambda m, _: m.last(1).clear(),
}
