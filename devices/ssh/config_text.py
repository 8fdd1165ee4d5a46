"""What the parser of ssh_config(5) that we use leaves out: `Include`, and `Match exec` without a terminal."""

import glob
import os
import re
import shlex
import subprocess
from pathlib import Path

MAX_DEPTH = 16
EXEC_TIMEOUT_S = 30.0

_LINE = re.compile(r"\s*(include|host|match)(?:\s*=\s*|\s+)(.*)", re.IGNORECASE)
_NOBODY = "Host !*"


def text_for(host: str, path: Path, *, depth: int = 0) -> str:
    """The text of `path` as it holds for `host`, without those two; raises OSError, ValueError."""
    if depth > MAX_DEPTH:
        raise ValueError(f"over {MAX_DEPTH} files include each other, up to {path}")
    block, lines = "Host *", []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = _LINE.fullmatch(line)
        keyword, words = found.groups() if found else ("", "")
        if keyword.lower() == "include":
            for included in _included(words) if _applies(block, host) else ():
                # What the included file began ends with it.
                lines += [block, text_for(host, included, depth=depth + 1), block]
            continue
        if keyword:
            line = block = _without_exec(words, host) if keyword.lower() == "match" else line  # noqa: PLW2901
        lines.append(line)
    return "\n".join(lines) + "\n"


def _included(words: str) -> list[Path]:
    folder = Path("~/.ssh").expanduser()
    patterns = [os.path.expanduser(word.strip('"')) for word in re.findall(r'"[^"]*"|\S+', words)]  # noqa: PTH111 - a pattern
    return [Path(name) for pattern in patterns for name in sorted(glob.glob(str(folder / pattern)))]  # noqa: PTH207 - absolute too


def _applies(block: str, host: str) -> bool:
    from paramiko import SSHConfig  # noqa: PLC0415 - a fifth of a second to import

    return "tag" in SSHConfig.from_text(f"{block}\n Tag yes\n").lookup(host)


def _without_exec(criteria: str, host: str) -> str:
    """A Match line with its `exec` decided: paramiko's way reads our standard input."""
    words = shlex.split(criteria)
    for place, word in enumerate(words[:-1]):
        if word.lower().lstrip("!") != "exec":
            continue
        others = words[:place] + words[place + 2 :]
        rest = f"Match {shlex.join(others)}" if others else "Match all"
        if not _applies(rest, host):
            return _NOBODY
        done = subprocess.run(
            ["/bin/sh", "-c", re.sub(r"%[hn]", host, words[place + 1])],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=EXEC_TIMEOUT_S,
        )
        return rest if (done.returncode == 0) != word.startswith("!") else _NOBODY
    return f"Match {criteria}"
