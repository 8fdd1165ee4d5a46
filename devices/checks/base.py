"""What a check is, and whom it is made on."""

import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from devices.base import Device
from devices.facts import Facts, Interpreter
from devices.local import LocalDevice
from devices.remote.settings import RemoteSettings
from devices.remote.shell import Shell, quoted_path
from devices.remote.transport import Finished, Held, NotFinishedError, Sink, Transport

Chosen = Callable[[Facts], Sequence[Interpreter]]
"""The interpreters that are of use, the one to be used first."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One step. `ok` is None for what could not be told or does not apply; with advice it is doubtful."""

    name: str
    ok: bool | None
    found: str
    advice: str = ""


class RemoteMachine(Device, Protocol):
    """What is asked of a device that is not this machine."""

    shell: Shell
    transport: Transport
    settings: RemoteSettings

    def reach(self) -> None:
        """Connect and log in, without a lock."""
        ...


class Patient:
    """The device, and a shell on it; `remote` is None when it is this machine."""

    def __init__(self, device: Device, chosen: Chosen) -> None:
        self.device = device
        self.chosen = chosen
        self.remote = None if isinstance(device, LocalDevice) else cast("RemoteMachine", device)
        self.shell = self.remote.shell if self.remote else Shell(device.name, ThisMachine())
        self.writable = False

    @property
    def workdir(self) -> str:
        """The work directory as a word of a script."""
        return quoted_path(self.device.workdir)


class ThisMachine:
    """A Transport that leads nowhere else, for scripts that are the same everywhere."""

    address = "this machine"
    connected = True
    file_service = None

    def connect(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def execute(
        self, line: str, *, stdin: Iterable[bytes] = (), sink: Sink | None = None, timeout_s: float
    ) -> Finished:
        """See Transport.execute."""
        try:
            done = subprocess.run(
                ["/bin/sh", "-c", line],
                input=b"".join(stdin),
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotFinishedError(error.stdout or b"", error.stderr or b"") from error
        if sink is not None:
            sink(done.stdout)
        code = done.returncode
        return Finished(exit_code=code if code >= 0 else None, stdout=done.stdout, stderr=done.stderr)

    def hold(self, line: str, *, until: bytes, timeout_s: float) -> tuple[Held, bytes]:
        """Not for this machine: its lock needs no shell."""
        raise NotImplementedError


def not_tried(name: str) -> Check:
    """A step that an earlier one leaves without sense."""
    return Check(name=name, ok=None, found="not tried: there is no work directory")


def text(printed: bytes) -> str:
    """What a script printed, trimmed."""
    return printed.decode(errors="replace").strip()


def listed(cpus: Iterable[int]) -> str:
    """CPU numbers for a person."""
    return ",".join(map(str, sorted(cpus)))
