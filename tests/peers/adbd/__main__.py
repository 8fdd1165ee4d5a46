"""Keep a test device up until Ctrl-C: `uv run python -m tests.peers.adbd [RELEASE]`."""

import signal
import sys

from .device import AdbDevice
from .phone import Phone

ENDS = (signal.SIGINT, signal.SIGTERM)


def end(*_: object) -> None:
    """Once: what runs others often tells them twice."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit()


if __name__ == "__main__":
    for number in ENDS:
        signal.signal(number, end)
    with AdbDevice(Phone(*sys.argv[1:2])) as device:
        print(f"adb connect {device.serial}", flush=True)
        signal.pause()
