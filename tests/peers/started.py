"""What every peer that is started and stopped does the same way."""

from abc import ABC, abstractmethod
from typing import Self


class Started(ABC):
    """Runs as long as a `with` block lasts."""

    @abstractmethod
    def start(self) -> None:
        """Make it run."""

    @abstractmethod
    def stop(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
