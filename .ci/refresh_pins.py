"""Pin every dependency exactly, at its newest version: `uv run .ci/refresh_pins.py`.

Writes `[tool.uv] constraint-dependencies` in pyproject.toml. The lock file is not committed, because it
spells out package registries; these pins are what a fresh machine resolves to.
"""

import re
import subprocess
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).parent.parent
EXPORTED = (
    "--quiet",
    "--no-hashes",
    "--no-annotate",
    "--no-header",
    "--no-emit-project",
    "--all-extras",
    "--all-groups",
)
BEGIN, END = "constraint-dependencies = [\n", "]\n"


def main() -> None:
    """Resolve without pins, then write what came out."""
    pyproject = PROJECT / "pyproject.toml"
    head, tail = split(pyproject.read_text())
    pyproject.write_text(head + BEGIN + END + tail)
    subprocess.run(["uv", "lock", "--upgrade", "--quiet"], cwd=PROJECT, check=True)
    listed = subprocess.run(
        ["uv", "export", *EXPORTED],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)\s*(;.*)?$", listed, re.MULTILINE)
    versions = Counter(name for name, _, _ in found)
    # A condition matters only where it chooses between versions.
    pins = sorted(
        f"{name}=={version}{marker if versions[name] > 1 else ''}" for name, version, marker in found
    )
    lines = "".join(f'    "{pin}",\n' for pin in pins)
    pyproject.write_text(head + BEGIN + lines + END + tail)
    subprocess.run(["uv", "lock", "--quiet"], cwd=PROJECT, check=True)


def split(text: str) -> tuple[str, str]:
    """The text before and after the list of pins."""
    head, begin, rest = text.partition(BEGIN)
    if not begin:
        raise SystemExit("pyproject.toml has no constraint-dependencies to refresh")
    return head, rest.partition(END)[2]


if __name__ == "__main__":
    main()
