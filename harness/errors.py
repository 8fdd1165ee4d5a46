"""What can go wrong on the host, said so that the reader knows what to do next."""

import difflib
from collections.abc import Iterable


class PocketbenchError(Exception):
    """A mistake or a lack that the user can mend; its text is the whole message."""


class UnknownNameError(PocketbenchError):
    """A name that is not in the list it was looked up in."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        place = f" in {where}" if where else ""
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}{place}.{hint} Known: {', '.join(names) or 'none'}.")
        self.name = name
        self.known = names


class UnsupportedError(PocketbenchError):
    """This cell of the matrix cannot be measured, and why; the other cells go on."""


class ConversionError(UnsupportedError):
    """A converter refused a model or made something unusable; `log` is what it printed."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log
