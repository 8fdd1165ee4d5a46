"""How long collecting takes: `uv run python benchmarks/collect.py`. Asked for: under 1.5 s."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

import machine

PROJECT = Path(__file__).parent.parent
HEAVY = ("numpy", "scipy", "matplotlib", "sqlalchemy", "jinja2", "PIL", "rich")


def main() -> None:
    """Print the median of five collections, and the heavy packages that were imported for it."""
    print(machine.describe())
    command = ["uv", "run", "pytest", "suites/", "--collect-only", "-q"]
    taken = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
        taken.append(time.monotonic() - began)
    print(
        f"collecting, s: median {statistics.median(taken):.2f}, slowest {max(taken):.2f}   asked: under 1.5 s"
    )
    print(f"heavy imports: {', '.join(heavy_imports()) or 'none'}")


def heavy_imports() -> list[str]:
    """Packages of HEAVY that collecting imports."""
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytest", "suites/", "--collect-only", "-q"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in traced.stderr.splitlines()}
    return [name for name in HEAVY if name in imported]


if __name__ == "__main__":
    main()
