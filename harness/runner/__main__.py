"""Entry: `python -m runner job.json` measures once, `python -m runner job.json --serve` answers blocks."""

from __future__ import annotations

import os
import sys

from .launch import Launch


def main(argv: list[str]) -> int:
    """Run the job named by `argv`; returns the exit code."""
    if not argv or len(argv) > 2 or argv[1:] not in ([], ["--serve"]):
        sys.stderr.write("usage: python -m runner job.json [--serve]\n")
        return 2
    # Runtimes print on stdout when they are imported; what matters goes by file, or by this private copy.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    launch = Launch(argv[0])
    launch.prepare()
    if argv[1:]:
        launch.serve(sys.stdin, answers)
    else:
        launch.measure()
    launch.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
