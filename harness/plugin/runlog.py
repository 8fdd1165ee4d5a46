"""The run's log file: what devices and harness have to say beyond figures, such as lost connections."""

import logging
from pathlib import Path

RUN_LOG = "run.log"
MOST_NOTES = 5
_NAMES = ("devices", "harness")


class _Handler(logging.FileHandler):
    """A log that cannot be written, on a full disk for instance, is no reason to disturb a measurement."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name
        return


class _Warnings(logging.Handler):
    """Keeps what a person has to be told at the end, each thing once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.texts:
            self.texts.append(text)


class RunLog:
    """Life cycle: made, which begins to write, then `close`. Several processes may write into one file."""

    def __init__(self, directory: Path) -> None:
        self._warnings = _Warnings()
        self._handler = _Handler(directory / RUN_LOG, encoding="utf-8", delay=True)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._levels: dict[str, int] = {}
        for name in _NAMES:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            logger.setLevel(logging.INFO)
            logger.addHandler(self._handler)
            logger.addHandler(self._warnings)

    @property
    def notes(self) -> list[str]:
        """The warnings so far, the first few of them."""
        texts = self._warnings.texts
        more = len(texts) - MOST_NOTES
        return [*texts[:MOST_NOTES], *([f"{more} more warnings are in {RUN_LOG}"] if more > 0 else [])]

    def close(self) -> None:
        """Leave the loggers as they were."""
        for name, level in self._levels.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            logger.removeHandler(self._handler)
            logger.removeHandler(self._warnings)
        self._handler.close()
