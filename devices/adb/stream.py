"""The bytes of one command, both ways: what each way to a phone has to offer, and all above builds upon."""

from collections.abc import Sequence
from typing import Protocol


class StreamLostError(Exception):
    """The stream ended before all was said: the device or what is between us went away."""


class Stream(Protocol):
    """One stream to a service on the device. For one thread at a time; none of it blocks but `wait`."""

    piece_bytes: int
    """So much at once is sent best."""

    def wait(self, *, to_send: bool, timeout_s: float) -> None:
        """Until something came, the stream ended, or, with `to_send`, more can be sent."""
        ...

    def send(self, parts: Sequence[memoryview]) -> int:
        """Send what can be sent now, from the first part on; how many bytes. Raises StreamLostError."""
        ...

    def receive(self) -> bytes | memoryview:
        """What has come since; empty when nothing has. Raises StreamLostError after the last of it."""
        ...

    def close(self) -> None:
        """End it, for both sides; never raises."""
        ...
