"""The run's log file: what devices and harness have to say beyond figures, such as lost connections."""

import logging
from pathlib import Path

RUN_LOG = "run.log"
_NAMES = ("devices", "harness")


class _Handler(logging.FileHandler):
    """A log that cannot be written, on a full disk for instance, is no reason to disturb a measurement."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's name
        return


class RunLog:
    """Life cycle: made, which begins to write, then `close`. Several processes may write into one file."""

    def __init__(self, directory: Path) -> None:
        self._handler = _Handler(directory / RUN_LOG, encoding="utf-8", delay=True)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._levels: dict[str, int] = {}
        for name in _NAMES:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            logger.setLevel(logging.INFO)
            logger.addHandler(self._handler)

    def close(self) -> None:
        """Leave the loggers as they were."""
        for name, level in self._levels.items():
            logger = logging.getLogger(name)
            logger.setLevel(level)
            logger.removeHandler(self._handler)
        self._handler.close()
