"""A content-addressed store on a device: nothing is sent twice, whatever tree it is part of.

`blobs/<sha256>` (`<sha256>x` when executable) is content, read-only; `trees/<digest>/content` is a tree of
hard links to it, beside the marker `boot`; `part/` is what is arriving. Missing blobs and a tree's links come
as one tar stream, so that 1,000 files cost the device a handful of processes. What of it is whole when the
connection is lost is kept; a big file of which a part arrived comes alone the next time, and goes on there.

Where a file system knows no hard links (phones forbid them) trees are copies, made on the device with
`cp -RL` from a tree of symbolic links: still nothing is sent twice, but it takes twice the room until the
blobs, which then no tree is linked to, are the first to go.

A blob gets its name once it is on the disk (`sync`), so that its size tells that it is whole, also after a
power cut: the zeros that one leaves in what was just being written are in `part/`, where content is checked.

All files have one fixed time: content that is shared can have only one. Byte code in a bundle has to be
checked by hash, or not at all; what is checked by time is compiled anew there.
"""

import hashlib
import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devices.base import DeviceError, Progress, TransientDeviceError
from devices.remote import archive, large_file, staging, stored
from devices.remote.sending import (
    Tally,
    explained,
    file_sha256,
    no_space,
    transfer_timeout_s,
)
from devices.remote.shell import Shell, new_token
from devices.wording import mib

IN_USE = 6
"""Trees that stay whatever else is staged: two versions that are alternated have two bundles, two artifacts,
one runner and one feed."""

_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")


class Store:
    """The store in the directory `root` of a device; `quota_bytes` is how large it may grow.

    Over its quota, or short of space, it drops what no tree uses, then the trees used longest ago, those
    staged through this object last of all, and never the IN_USE staged last: they are being measured. Not
    safe for two processes at once: a device is locked.
    """

    def __init__(self, shell: Shell, root: str, *, quota_bytes: int | None) -> None:
        self.content_bytes_sent = 0
        """Content handed to the connection so far, without what frames it."""
        self._shell = shell
        self._root = root
        self._quota_bytes = quota_bytes
        self._paths: dict[str, str] = {}
        self._used: dict[str, None] = {}
        self._hashes: dict[tuple[str, int, int, int], str] = {}

    def forget(self) -> None:
        """Ask again for everything: the device was away and may have changed."""
        self._paths.clear()

    def stage(self, local: Path, digest: str, *, progress: Progress | None = None) -> str:
        """Make the file or tree `local`, whose content hash is `digest`, readable there; returns its path.

        A file keeps its name. What is there whole is not sent again, also after a connection that was lost
        in the middle. Raises DeviceError, TransientDeviceError.
        """
        attempted, key = f"stage {local}", _key(local, digest)
        self._is_used(key)
        if key not in self._paths:
            try:
                root = self._bring(local, key, attempted, progress)
            except OSError as error:
                reason = f"{error.strerror or error}, on this machine ({error.filename or local})"
                raise DeviceError(f"{self._shell.device}: cannot {attempted}: {reason}") from error
            self._paths[key] = _content(root, key)
        return self._paths[key] if local.is_dir() else f"{self._paths[key]}/{local.name}"

    def stage_all(
        self, contents: Sequence[tuple[Path, str]], *, progress: Progress | None = None
    ) -> list[str]:
        """`stage` for each of `contents`; one round trip where all of them are there."""
        keys = [_key(local, digest) for local, digest in contents]
        unknown = [key for key in dict.fromkeys(keys) if key not in self._paths]
        if len(unknown) > 1:
            script = stored.here_script(self._root, unknown)
            # What goes wrong here is told, with advice, when the first of them is brought.
            done = self._shell.call(script, attempted="look for what is staged", timeout_s=300)
            if done.exit_code == 0:
                root, here = stored.parse_here(done.stdout)
                self._paths.update((key, _content(root, key)) for key in unknown if key in here)
        for key in keys:
            self._is_used(key)
        return [self.stage(local, digest, progress=progress) for local, digest in contents]

    def _is_used(self, key: str) -> None:
        self._used.pop(key, None)
        self._used[key] = None  # the last one

    def _bring(self, local: Path, key: str, attempted: str, progress: Progress | None) -> str:
        unwanted = threading.Event()
        with ThreadPoolExecutor(1) as beside:
            # The answer takes about as long as hashing what it may show to be missing.
            reading = beside.submit(self._read, local, unwanted)
            try:
                listing = self._list(stored.ask_script(self._root, key), attempted)
                if listing.here:
                    return listing.root
                plan = staging.compare(*reading.result(), listing)
            finally:
                unwanted.set()
        self._make_room(plan, listing, attempted)
        tally = Tally(plan.missing_bytes, progress)
        try:
            for name in plan.begun:
                self._go_on(name, plan.missing[name], listing, attempted, tally)
            self._send_rest(key, plan, listing.root, attempted, tally)
        finally:
            self.content_bytes_sent += tally.sent
        return listing.root

    def _list(self, script: str, attempted: str, stdin: bytes = b"") -> stored.Listing:
        done = self._shell.call(script, attempted=attempted, stdin=(stdin,), timeout_s=300)
        if done.exit_code != 0:
            told = explained(self._shell.device, attempted, done, needed=0)
            raise DeviceError(f"{told} (its store is {self._root}; `workdir` in the device's file sets it)")
        listing = stored.parse(done.stdout)
        if listing is None:
            raise TransientDeviceError(f"{self._shell.device}: cannot {attempted}: its answer was cut short")
        return listing

    def _read(self, local: Path, unwanted: threading.Event) -> tuple[list[archive.Entry], dict[str, str]]:
        """What is in a tree, and the blob of each of its files by name; stops early when it is `unwanted`."""
        entries = archive.scan(local) if local.is_dir() else [archive.file_entry(local, local.name)]
        names: dict[str, str] = {}
        for entry in entries:
            if unwanted.is_set():
                break
            if entry.kind == "file" and entry.size:
                names[entry.name] = self._hash(entry) + ("x" if entry.executable else "")
        return entries, names

    def _hash(self, entry: archive.Entry) -> str:
        status = entry.path.stat()
        known = (str(entry.path), status.st_ino, status.st_size, status.st_mtime_ns)
        if known not in self._hashes:
            self._hashes[known] = file_sha256(entry.path)
        return self._hashes[known]

    def _make_room(self, plan: staging.Plan, listing: stored.Listing, attempted: str) -> None:
        device, quota = self._shell.device, self._quota_bytes
        needed = plan.needed_bytes
        alone = max(plan.total_bytes, needed)
        if quota is not None and alone > quota:
            raise DeviceError(
                f"{device}: cannot {attempted}: it takes {mib(alone)}, and the store may hold {mib(quota)}: "
                "raise `[store] max_mb` in the device's file"
            )
        while needed and (_over(quota, listing.used + needed) or _over(listing.free, needed)):
            unused = staging.unused(plan, listing)
            dropped = None if unused else self._oldest(listing)
            if not unused and dropped is None:
                if _over(listing.free, needed):
                    raise no_space(device, attempted, needed=needed, df=listing.df)
                raise DeviceError(
                    f"{device}: cannot {attempted}: {mib(needed)} more are needed, {mib(listing.used)} are "
                    f"in use by what is being measured, and the store may hold {mib(quota or 0)}: "
                    "raise `[store] max_mb` in the device's file"
                )
            if dropped is not None:
                self._used.pop(dropped, None)
                self._paths.pop(dropped, None)
            script = stored.remove_script(self._root, dropped, new_token())
            listing = self._list(script, attempted, "".join(f"{path}\n" for path in unused).encode())

    def _oldest(self, listing: stored.Listing) -> str | None:
        """The tree that is missed least; None when all of them are in use."""
        earlier = [tree for tree in listing.trees if tree not in self._used]
        own = [tree for tree in list(self._used)[:-IN_USE] if tree in listing.trees]
        return next(iter([*reversed(earlier), *own]), None)

    def _go_on(
        self, name: str, entry: archive.Entry, listing: stored.Listing, attempted: str, tally: Tally
    ) -> None:
        file = large_file.LargeFile(
            local=entry.path,
            size=entry.size,
            partial=f"{listing.root}/part/{name}",
            target=f"{listing.root}/blobs/{name}",
            sha256=name[:64],
            mode=f"{staging.mode_of(entry):o}",
            durable=True,
        )
        large_file.send(self._shell, file, offset=listing.partials[name], attempted=attempted, tally=tally)

    def _send_rest(self, key: str, plan: staging.Plan, root: str, attempted: str, tally: Tally) -> None:
        """One stream: the blobs of which nothing is there yet, and the tree itself."""
        scratch = f"part/{new_token()}"
        done = self._shell.call(
            staging.put_script(root, scratch, key, plan),
            attempted=attempted,
            stdin=archive.gathered(staging.stream(plan, root, scratch, tally)),
            timeout_s=transfer_timeout_s(plan.missing_bytes + 1024 * len(plan.entries)),
        )
        if done.exit_code != 0:
            raise explained(self._shell.device, attempted, done, needed=plan.needed_bytes)


def _key(local: Path, digest: str) -> str:
    """What a tree is called in the store; a file keeps its name in one of its own."""
    key = digest
    if not local.is_dir():
        key += f"-{hashlib.sha256(os.fsencode(local.name)).hexdigest()[:8]}"
    if not _KEY.fullmatch(key):
        raise ValueError(f"{digest!r} is no hash")
    return key


def _content(root: str, key: str) -> str:
    return f"{root}/trees/{key}/content"


def _over(limit: int | None, size: int) -> bool:
    return limit is not None and size > limit
