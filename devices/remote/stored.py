"""What a store on a device holds, as one script lists it."""

from collections.abc import Iterable
from dataclasses import dataclass

from devices.remote.sending import HASH, free_space
from devices.remote.shell import quoted_path

PROLOGUE = """LC_ALL=C; export LC_ALL
boot=; { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
salvage() {
    for blob in "$1"/blobs/*; do [ ! -e "$blob" ] || sync; break; done
    (cd "$1/blobs" && find . -type f -exec $h {} + |
        sed -n 's/^\\([0-9a-f]\\{64\\}\\) [ *]\\.\\/\\(\\1x\\{0,1\\}\\)$/\\2/p' |
        xargs sh -c '[ $# = 0 ] || mv -f "$@" ../../../blobs/' mv
        find . -type f -size +2048 -exec mv -f {} ../.. ";")
}
"""
"""`$boot` names the device's uptime; `salvage DIR` keeps those of DIR/blobs whose content is what they are
named after, once it is on the disk, and what else is over 1 MiB as partials, to go on from."""

_IS_HERE = """is_here() {
    was=
    [ -f "trees/$1/boot" ] && { read -r was <"trees/$1/boot" || :; } && [ "$was" = "$boot" ] &&
        [ -d "trees/$1/content" ] && { touch "trees/$1" 2>/dev/null || :; }
}
"""
_LIST = """echo "= blobs"; ls -ln blobs
echo "= part"; ls -ln part
echo "= trees"; ls -1t trees
echo "= used"; du -sk .
echo "= free"; df -Pk .
echo "= end"
"""


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A stored file: its size, and how many names it has there; with one it is in no tree."""

    size: int
    links: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a store holds. `here` says that the tree asked for is whole; the rest is then not listed.

    `hard_links` is told to who asks for a tree.
    """

    root: str
    here: bool = False
    hard_links: bool = True
    blobs: dict[str, Blob]
    partials: dict[str, int]
    trees: tuple[str, ...]
    """The one used last comes first."""
    used: int
    free: int | None
    df: bytes


def open_script(root: str) -> str:
    """Goes to the store, makes it where it is not, and says where it is."""
    return f"""{PROLOGUE}r={quoted_path(root)}
{{ cd "$r" && [ -d blobs ] && [ -d trees ] && [ -d part ]; }} 2>/dev/null ||
    {{ mkdir -p "$r/blobs" "$r/trees" "$r/part" && cd "$r"; }} || exit 1
pwd
"""


def ask_script(root: str, key: str) -> str:
    """Is the tree `key` here? If so it counts as used now; if not, the listing.

    Its marker names the uptime in which it was written. When that is over the tree may have lost content
    with the power, and is put together anew, from blobs that were on the disk before they got their names.
    """
    return f"""{open_script(root)}{_IS_HERE}
if is_here {key}; then echo "= here"; exit 0; fi
{HASH}
for t in part/*/; do
    t=${{t%/}}
    [ -d "$t" ] || continue
    [ ! -d "$t/blobs" ] || salvage "$t"
    rm -rf "$t"
done
touch part/probe || exit 1
if ln -f part/probe part/linked 2>/dev/null; then echo "= links"; fi
rm -f part/probe part/linked
{_LIST}"""


def here_script(root: str, keys: Iterable[str]) -> str:
    """Which of the trees `keys` are here? They count as used now; the others are not made."""
    return f"""{open_script(root)}{_IS_HERE}
for key in {" ".join(keys)}; do
    if is_here "$key"; then echo "$key"; fi
done"""


def parse_here(printed: bytes) -> tuple[str, frozenset[str]]:
    """Where the store is and which trees are here, as `here_script` printed it."""
    root, *keys = printed.decode(errors="surrogateescape").splitlines()
    return root, frozenset(keys)


def remove_script(root: str, key: str | None, token: str) -> str:
    """Removes the tree `key`, if any, and the files named on stdin from the store; then the listing.

    A tree loses its place before its content: half of one is never taken for whole.
    """
    moved = "" if key is None else f"mv trees/{key} part/{token}/{key} || exit 1\n"
    return f"""{open_script(root)}mkdir part/{token} || exit 1
{moved}rm -rf part/{token} 2>/dev/null || {{ chmod -R u+rwx part/{token}; rm -rf part/{token}; }}
xargs rm -f || exit 1
{_LIST}"""


def parse(printed: bytes) -> Listing | None:
    """What `ask_script` or `remove_script` printed; None when it was cut short."""
    sections: dict[bytes, list[bytes]] = {}
    current = sections.setdefault(b"root", [])
    for line in printed.splitlines():
        if line.startswith(b"= "):
            current = sections.setdefault(line[2:], [])
        else:
            current.append(line)
    root = b"\n".join(sections[b"root"]).decode(errors="surrogateescape")
    if b"here" not in sections and b"end" not in sections:
        return None
    blobs, partials = _files(sections.get(b"blobs", [])), _files(sections.get(b"part", []))
    used = sections.get(b"used") or [b"0"]
    df = b"\n".join(sections.get(b"free", []))
    return Listing(
        root=root,
        here=b"here" in sections,
        hard_links=b"links" in sections,
        blobs=blobs,
        partials={name: blob.size for name, blob in partials.items()},
        trees=tuple(line.decode() for line in sections.get(b"trees", [])),
        used=int(used[-1].split()[0]) * 1024,
        free=free_space(df)[0],
        df=df,
    )


def _files(lines: list[bytes]) -> dict[str, Blob]:
    """The regular files of an `ls -ln`: mode, links, owner, group, size, date ..., name."""
    found = {}
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[0].startswith(b"-"):
            found[words[-1].decode(errors="replace")] = Blob(size=int(words[4]), links=int(words[1]))
    return found
