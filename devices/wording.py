"""How messages put sizes and cores."""

from collections.abc import Iterable


def mib(size: int) -> str:
    """A size in bytes as messages tell it."""
    return f"{size / 2**20:.1f} MiB"


def cpu_list(cpus: Iterable[int]) -> str:
    """Numbers of cores as taskset takes them."""
    return ",".join(map(str, sorted(cpus)))
