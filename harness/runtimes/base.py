"""What the host knows of a runtime; how it is driven on the device lies in runner/backends."""

import msgspec

from harness.spec import Frozen, Precision

NEWEST_NUMPY = "2.4.6"
NUMPY = {"3.8": "1.24.4", "3.9": "2.0.2", "3.10": "2.2.6"}
"""Python -> the last numpy for it; every other Python takes NEWEST_NUMPY."""


class Runtime(Frozen, frozen=True, kw_only=True):
    """An inference engine: where its packages come from and what it can be asked to do.

    `requirements` may hold `{version}` and `{numpy}`, which `numpy` gives for each Python, `newest_numpy` for
    those it does not name; `python` is the one to prefer. `precisions` are all that it can be asked for,
    `default_precisions` those that are measured when none is; `lacking` says of others why it has none.
    `backends` begins with the default one; `environment` is set for every launch, `{threads}` in it is the
    case's thread count.
    """

    name: str
    default_version: str
    requirements: tuple[str, ...]
    python: str
    precisions: tuple[Precision, ...]
    default_precisions: tuple[Precision, ...]
    lacking: dict[Precision, str] = {}
    numpy: dict[str, str] = msgspec.field(default_factory=NUMPY.copy)
    newest_numpy: str = NEWEST_NUMPY
    backends: tuple[str, ...] = ("cpu",)
    environment: dict[str, str] = {}

    def packages(self, version: str, python: str | None = None) -> tuple[str, ...]:
        """Exact requirements of `version` for a Python `3.9` (None: the preferred one)."""
        numpy = self.numpy.get(python or self.python, self.newest_numpy)
        return tuple(item.format(version=version, numpy=numpy) for item in self.requirements)

    def variables(self, threads: int) -> dict[str, str]:
        """Environment variables of a launch with `threads` threads."""
        return {name: value.format(threads=threads) for name, value in self.environment.items()}
