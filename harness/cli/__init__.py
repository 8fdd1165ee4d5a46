"""The `pocketbench` command: one file per command."""

import sys

from devices.base import DeviceError
from harness.errors import PocketbenchError


def main() -> None:
    """Run the command line; an error the user can mend is one line on stderr and exit code 2."""
    from harness.cli.app import app

    try:
        app()
    except (PocketbenchError, DeviceError) as error:
        sys.stderr.write(f"pocketbench: {error}\n")
        sys.exit(2)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        sys.stderr.close()
        sys.exit(0)
