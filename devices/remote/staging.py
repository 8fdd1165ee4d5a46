"""One tree on its way to a store: what is missing there, the stream that brings it, and what unpacks that."""

from collections.abc import Iterator
from dataclasses import dataclass

from devices.remote import archive, stored
from devices.remote.sending import (
    DIFFERS,
    HASH,
    HASH_LARGE,
    LARGE_BYTES,
    NO_SPACE_WORDS,
    Tally,
    content,
)
from devices.remote.shell import quote

_BLOCK_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a tree consists of and what of it is missing."""

    entries: list[archive.Entry]
    names: dict[str, str]
    """Blob of each file that is not empty, by its name in the tree."""
    blobs: dict[str, archive.Entry]
    missing: dict[str, archive.Entry]
    begun: dict[str, int]
    """Bytes that are there of blobs that are missing as a whole."""
    copied: bool
    """Whether the tree is made of copies, for want of hard links."""

    @property
    def missing_bytes(self) -> int:
        """Content that is not there as whole blobs."""
        return sum(entry.size for entry in self.missing.values())

    @property
    def needed_bytes(self) -> int:
        """Room to be taken, in whole blocks."""
        taken = sum(_blocks(entry.size) for entry in self.missing.values()) - sum(self.begun.values())
        folders = sum(entry.kind == "directory" for entry in self.entries) * _BLOCK_BYTES
        return taken + folders + (self.total_bytes if self.copied else 0)

    @property
    def total_bytes(self) -> int:
        """Room of the whole tree, were nothing of it there."""
        return sum(_blocks(entry.size) for entry in self.blobs.values())


def compare(entries: list[archive.Entry], names: dict[str, str], listing: stored.Listing) -> Plan:
    """What of a tree is missing in a store; `names` is as in Plan."""
    blobs = {names[entry.name]: entry for entry in entries if entry.name in names}
    missing = {
        name: entry
        for name, entry in blobs.items()
        if name not in listing.blobs or listing.blobs[name].size != entry.size
    }
    begun = {
        name: size
        for name, size in listing.partials.items()
        if name in missing and size <= missing[name].size
    }
    return Plan(
        entries=entries,
        names=names,
        blobs=blobs,
        missing=missing,
        copied=not listing.hard_links,
        begun=begun,
    )


def stream(plan: Plan, root: str, scratch: str, tally: Tally) -> Iterator[bytes]:
    """The blobs of which nothing is there, and the tree as links to blobs, for unpacking in the store."""
    new = plan.missing.keys() - plan.begun.keys()
    for name, entry in plan.missing.items():
        if name in new:
            yield archive.file_header(f"{scratch}/blobs/{name}", entry.size, mode_of(entry))
            yield from content(entry.path, entry.size, tally)
            yield archive.padding(entry.size)
    files = f"{scratch}/{'links' if plan.copied else 'entry/content'}"
    yield archive.directory_member(files)
    for entry in plan.entries:
        member = f"{files}/{entry.name}"
        if entry.kind == "directory":
            yield archive.directory_member(member)
        elif entry.kind == "link":
            own = f"{scratch}/own/{entry.name}" if plan.copied else member
            yield archive.link_member(own, entry.target)
        elif not entry.size:
            yield archive.file_header(member, 0, mode_of(entry))
        elif plan.copied:
            yield archive.link_member(member, f"{root}/blobs/{plan.names[entry.name]}")
        else:
            blob = plan.names[entry.name]
            place = f"{scratch}/blobs" if blob in new else "blobs"
            yield archive.hard_link_member(member, f"{place}/{blob}", mode_of(entry))
    yield archive.END


def put_script(root: str, scratch: str, key: str, plan: Plan) -> str:
    """Unpacks the stream on its input in `scratch`, checks the blobs, and puts all in its place.

    Where it is killed, or the connection lost, the next question salvages what is there.
    """
    copy = """cp -RL "$t/links" "$t/entry/content" || fail 1
[ ! -d "$t/own" ] || (cd "$t/own" && tar cf - .) | (cd "$t/entry/content" && tar xf -) || fail 1"""
    return f"""{stored.open_script(root)}{HASH_LARGE if plan.missing_bytes > LARGE_BYTES else HASH}
t={quote(scratch)}
fail() {{ rm -rf "$t"; df -Pk .; exit $1; }}
mkdir "$t" "$t/blobs" "$t/entry" || fail 1
e=$(tar xf - 2>&1) || {{
    case $e in {NO_SPACE_WORDS}) ;; *) salvage "$t" ;; esac
    printf '%s\n' "$e" >&2
    fail 1
}}
salvage "$t"
rmdir "$t/blobs" || fail {DIFFERS}
{copy if plan.copied else ":"}
echo "$boot" >"$t/entry/boot" || fail 1
[ ! -e trees/{key} ] || mv trees/{key} "$t/old" || fail 1
mv "$t/entry" trees/{key} || fail 1
rm -rf "$t"
exit 0"""


def unused(plan: Plan, listing: stored.Listing) -> list[str]:
    """Files of the store that belong to no tree, and not to what is coming."""
    blobs = [
        f"blobs/{name}" for name, blob in listing.blobs.items() if blob.links == 1 and name not in plan.blobs
    ]
    return blobs + [f"part/{name}" for name in listing.partials if name not in plan.missing]


def mode_of(entry: archive.Entry) -> int:
    """Nobody writes what several trees share."""
    return 0o555 if entry.executable else 0o444


def _blocks(size: int) -> int:
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
