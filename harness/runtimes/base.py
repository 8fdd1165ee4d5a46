"""What the host knows of a runtime; how it is driven on the device lies in runner/backends."""

from harness.spec import Frozen, Precision


class Runtime(Frozen, frozen=True, kw_only=True):
    """An inference engine: where its packages come from and what it can be asked to do.

    `requirements` may hold `{version}`; `backends` begins with the default one; `environment` is set for
    every launch, `{threads}` in it is the case's thread count.
    """

    name: str
    default_version: str
    requirements: tuple[str, ...]
    python: str
    precisions: tuple[Precision, ...]
    backends: tuple[str, ...] = ("cpu",)
    environment: dict[str, str] = {}

    def packages(self, version: str) -> tuple[str, ...]:
        """Exact requirements of `version`."""
        return tuple(item.format(version=version) for item in self.requirements)

    def variables(self, threads: int) -> dict[str, str]:
        """Environment variables of a launch with `threads` threads."""
        return {name: value.format(threads=threads) for name, value in self.environment.items()}
