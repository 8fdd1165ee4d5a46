"""What the benchmarks of transfers share: content that is new each time, rounds that interleave, ratios."""

import random
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

BIG_BYTES = 100_000_000
SMALL_FILES = 1_000

Make = Callable[[Path, int], None]
"""Writes a file or tree to a path, from a seed."""


def make_big(path: Path, seed: int) -> None:
    """One file that nothing can compress or share."""
    path.write_bytes(random.Random(seed).randbytes(BIG_BYTES))  # noqa: S311 - see run


def make_small(path: Path, seed: int) -> None:
    """Many files in a few folders."""
    source = random.Random(seed)  # noqa: S311 - see run
    for number in range(SMALL_FILES):
        file = path / f"package{number % 20}" / f"module{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.randbytes(source.randint(1_000, 20_000)))


def run(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    before: Callable[[], object],
    after: Callable[[], object],
) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round that does not count; the order turns each round.

    `before` and `after` make and clear what is moved, outside of the time.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        order = list(ways) if number % 2 else list(reversed(ways))
        for name in order:
            before()
            began = time.monotonic()
            ways[name]()
            seconds = time.monotonic() - began
            if number:
                taken[name].append(seconds)
            after()
    return taken


def renew(source: Path, make: Make) -> None:
    """New random content at `source`."""
    clear(source)
    source.parent.mkdir(parents=True, exist_ok=True)
    make(source, random.getrandbits(64))


def clear(*paths: Path) -> None:
    """Remove files and trees; what is not there is fine."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def report(title: str, taken: Mapping[str, list[float]], *, ours: Sequence[str], asked: float) -> None:
    """Medians, and how many times as fast ours are as each of the others."""
    median = {name: statistics.median(seconds) for name, seconds in taken.items()}
    print(f"\n{title}: median of {len(taken[ours[0]])} rounds, s")
    for name, seconds in taken.items():
        print(f"  {name:<28}{median[name]:7.3f}   {min(seconds):.3f} to {max(seconds):.3f}")
    for name in (other for other in taken if other not in ours):
        ratios = ", ".join(f"{own} {median[name] / median[own]:.2f}" for own in ours)
        goal = "" if "open" in name else f"   asked: at least {asked}"
        print(f"  speed of ours over {name}: {ratios}{goal}")
