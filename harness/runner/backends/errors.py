"""How a runner gives up."""

from __future__ import annotations

import sys


class RunnerError(SystemExit):
    """Ends the runner with exit code 3 and one line on stderr."""

    def __init__(self, message: str) -> None:
        sys.stderr.write("runner: %s\n" % message)
        super().__init__(3)
