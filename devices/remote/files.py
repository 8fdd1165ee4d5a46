"""Files and trees to and from any path of a device, over nothing but its shell.

They arrive under a temporary name beside their target, are checked, then renamed: the target is whole or as
it was. A file or tree is one round trip each way; a big file is two, and goes on where it was interrupted.
"""

import hashlib
import posixpath
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from devices.base import Completed, DeviceError, Progress, TransientDeviceError
from devices.copying import replace
from devices.remote import archive, large_pull, large_push
from devices.remote.incoming import Incoming
from devices.remote.sending import (
    DIFFERS,
    HASH,
    INCOMPLETE,
    LARGE_BYTES,
    PROLOGUE,
    SUM,
    Tally,
    content,
    explained,
    transfer_timeout_s,
)
from devices.remote.shell import Shell, new_token, quoted_path
from devices.remote.transport import Sink

_MISSING, _NO_FILE = 93, 94

_CLEAN_UP = """trap 'rm -rf "$p"' EXIT
trap 'exit 1' HUP INT TERM PIPE
fail() { rm -rf "$p"; df -Pk "$d" 2>/dev/null; exit $1; }
"""
_MAKE_FOLDER = '[ -d "$d" ] || mkdir -p "$d" || fail 1\n'
_REFUSE_FOLDER = '[ ! -d "$t" ] || { echo "it is a folder, and a file was to take its place" >&2; exit 1; }'
_HASHES_ONLY = r"sed -n 's/^\\\{0,1\}\([0-9a-f]\{64\}\) .*/\1/p'"


def push(shell: Shell, local: Path, remote: str, *, progress: Progress | None = None) -> None:
    """Copy a file or tree to the path `remote`, making its parents; a tree replaces a tree, a file a file.

    Links inside a tree stay links; `local` itself is followed. Modes are kept as far as the executable bit.
    Raises DeviceError, TransientDeviceError.
    """
    attempted = f"push {local} to {remote}"
    folder, name = _split(shell, remote, attempted)
    try:
        if local.is_dir():
            _push_tree(shell, local, folder, name, attempted, progress)
        elif archive.file_entry(local, "").size < LARGE_BYTES:
            _push_small(shell, local, folder, name, attempted, progress)
        else:
            large_push.push(shell, local, folder, name, attempted=attempted, progress=progress)
    except OSError as error:
        raise _local_error(shell, attempted, error) from error


def pull(shell: Shell, remote: str, local: Path, *, progress: Progress | None = None) -> None:
    """Copy a file or tree from the path `remote`; `local` is replaced as a whole or not at all.

    Links inside a tree stay links and have to lead to places inside of it; `remote` itself is followed.
    Raises DeviceError, also for what is not there, and TransientDeviceError.
    """
    script = pull_script(remote, sized=progress is not None)

    def call(sink: Sink) -> Completed:
        return shell.call(script, attempted=f"pull {remote}", sink=sink, timeout_s=large_pull.PULL_TIMEOUT_S)

    receive(shell, remote, local, call, progress=progress)


def receive(
    shell: Shell,
    remote: str,
    local: Path,
    call: Callable[[Sink], Completed],
    *,
    progress: Progress | None = None,
) -> None:
    """Take what `pull_script` prints, check it, and make it `local`; `call` has the script's output come.

    Raises as `pull` does.
    """
    attempted = f"pull {remote} to {local}"
    scratch = local.parent / f".{uuid.uuid4().hex}.part"
    tree = scratch.with_suffix(".tree")
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
        with Incoming(scratch, tree, progress) as incoming:
            done = call(incoming.write)
        _raise_unless_pulled(shell, attempted, remote, done)
        if not incoming.begun:
            raise TransientDeviceError(f"{shell.device}: cannot {attempted}: its answer cannot be read")
        if incoming.kind == "large":
            there = large_pull.described(scratch.read_bytes())
            large_pull.fetch(shell, there, scratch, attempted=attempted, on_bytes=incoming.count)
        elif incoming.sha256() != sorted(found.decode() for found in SUM.findall(done.stderr)):
            raise large_pull.changed(shell.device, attempted)
        incoming.end()
        if incoming.executable:
            scratch.chmod(scratch.stat().st_mode | 0o111)
        replace(tree if incoming.kind == "tree" else scratch, local)
    except (archive.UnsafeArchiveError, tarfile.TarError) as error:
        raise DeviceError(f"{shell.device}: cannot {attempted}: {error}") from error
    except OSError as error:
        raise _local_error(shell, attempted, error) from error
    finally:
        with suppress(OSError):
            scratch.unlink()
        shutil.rmtree(tree, ignore_errors=True)


def _push_small(
    shell: Shell, local: Path, folder: str, name: str, attempted: str, progress: Progress | None
) -> None:
    whole = local.read_bytes()
    tally = Tally(len(whole), progress)
    script = f"""{_paths(folder, name, f".{new_token()}.part")}{_CLEAN_UP}{_MAKE_FOLDER}{HASH}
{_REFUSE_FOLDER}
cat >"$p" || fail 1
s=$($h <"$p") || fail 1
[ "${{s%% *}}" = {hashlib.sha256(whole).hexdigest()} ] || fail {DIFFERS}
{'chmod 755 "$p" || fail 1' if archive.file_entry(local, "").executable else ":"}
mv -f "$p" "$t" || fail 1"""
    _send(shell, script, iter((whole,)), attempted=attempted, size=len(whole))
    tally.add(len(whole))


def _push_tree(
    shell: Shell, local: Path, folder: str, name: str, attempted: str, progress: Progress | None
) -> None:
    entries = archive.scan(local)
    size = sum(entry.size for entry in entries)
    script = f"""{_paths(folder, name, f".{new_token()}.part")}{_CLEAN_UP}{_MAKE_FOLDER}{HASH}
[ ! -e "$t" ] || [ -d "$t" ] || {{ echo "it is a file, and a tree was to take its place" >&2; exit 1; }}
mkdir "$p" && (cd "$p" && tar xf -) || fail 1
read -r want <"$p/sum" || fail {INCOMPLETE}
s=$(find "$p/tree" -type f -exec $h {{}} + | {_HASHES_ONLY} | sort | $h)
[ "${{s%% *}}" = "$want" ] || fail {DIFFERS}
if [ -e "$t" ]; then mv "$t" "$p/old" || fail 1; fi
mv "$p/tree" "$t" || {{ [ ! -e "$p/old" ] || mv "$p/old" "$t"; fail 1; }}"""
    stream = archive.gathered(_tree_stream(entries, Tally(size, progress)))
    _send(shell, script, stream, attempted=attempted, size=size)


def _tree_stream(entries: list[archive.Entry], tally: Tally) -> Iterator[bytes]:
    """The tree as `tree/`, then the hash of its files' sorted hashes as `sum`."""
    hashes: list[str] = []
    yield archive.directory_member("tree")
    for entry in entries:
        member = f"tree/{entry.name}"
        if entry.kind == "directory":
            yield archive.directory_member(member)
        elif entry.kind == "link":
            yield archive.link_member(member, entry.target)
        else:
            digest = hashlib.sha256()
            yield archive.file_header(member, entry.size, 0o755 if entry.executable else 0o644)
            for chunk in content(entry.path, entry.size, tally):
                digest.update(chunk)
                yield chunk
            yield archive.padding(entry.size)
            hashes.append(digest.hexdigest())
    lines = "".join(f"{found}\n" for found in sorted(hashes))
    line = f"{hashlib.sha256(lines.encode()).hexdigest()}\n".encode()
    yield archive.file_header("sum", len(line), 0o644) + line + archive.padding(len(line)) + archive.END


def _paths(folder: str, name: str, temporary: str) -> str:
    target, scratch = posixpath.join(folder, name), posixpath.join(folder, temporary)
    return f"{PROLOGUE}d={quoted_path(folder)}; t={quoted_path(target)}; p={quoted_path(scratch)}\n"


def _send(shell: Shell, script: str, stdin: Iterator[bytes], *, attempted: str, size: int) -> Completed:
    done = shell.call(script, attempted=attempted, stdin=stdin, timeout_s=transfer_timeout_s(size))
    if done.exit_code != 0:
        raise explained(shell.device, attempted, done, needed=size)
    return done


def _split(shell: Shell, remote: str, attempted: str) -> tuple[str, str]:
    folder, name = posixpath.split(remote.rstrip("/"))
    if name in {"", ".", "..", "~"} or "\0" in remote:
        raise DeviceError(f"{shell.device}: cannot {attempted}: that is no name for a file or tree")
    return folder or ".", name


def pull_script(remote: str, *, sized: bool = False) -> str:
    """Prints a line that says what comes, then it, and the hashes on stderr; of a large file where it is."""
    kilobytes = "$(du -sk .)" if sized else "0"
    return f"""{PROLOGUE}s={quoted_path(remote)}
if [ -d "$s" ]; then
{HASH}
cd "$s" && set -- {kilobytes} && echo "tree ${{1}} -" && tar cf - . && find . -type f -exec $h {{}} + >&2
elif [ -f "$s" ]; then
set -- $(ls -lnL "$s")
x=-; [ ! -x "$s" ] || x=x
if [ ${{#5}} -gt {len(str(LARGE_BYTES))} ] || [ "$5" -ge {LARGE_BYTES} ]; then
echo "large $5 $x"
{large_pull.DESCRIBE}else
{HASH}
echo "file $5 $x" && cat "$s" && $h <"$s" >&2
fi
elif [ -e "$s" ]; then exit {_NO_FILE}
else exit {_MISSING}; fi"""


def _raise_unless_pulled(shell: Shell, attempted: str, remote: str, done: Completed) -> None:
    if done.exit_code == _MISSING:
        raise DeviceError(f"{shell.device}: cannot {attempted}: there is no {remote} on the device")
    if done.exit_code == _NO_FILE:
        raise DeviceError(f"{shell.device}: cannot {attempted}: it is neither a file nor a folder")
    if done.exit_code != 0:
        raise explained(shell.device, attempted, done, needed=0)


def _local_error(shell: Shell, attempted: str, error: OSError) -> DeviceError:
    where = f" ({error.filename})" if error.filename else ""
    return DeviceError(
        f"{shell.device}: cannot {attempted}: {error.strerror or error}, on this machine{where}"
    )
