"""Is a device fit to measure on? Step by step, from its address to its lock, and what mends each step."""

import socket
from collections.abc import Callable, Iterator

from devices.base import Device, DeviceError, TransientDeviceError
from devices.checks import condition, workplace
from devices.checks.base import Check, Chosen, Patient, RemoteMachine

__all__ = ["Check", "Chosen", "diagnose"]

STEPS: tuple[Callable[[Patient], Check], ...] = (
    workplace.write,
    workplace.execute,
    workplace.space,
    workplace.tools,
    condition.python,
    condition.clock,
    condition.thermal,
    condition.governor,
    condition.pinning,
)

NEEDED_TO_OPEN = {"write", "execute", "pinning"}
LOCK_NOT_TRIED = Check(name="lock", ok=None, found="not tried: it cannot be opened as it is")


def diagnose(device: Device, *, chosen: Chosen = lambda facts: facts.interpreters) -> Iterator[Check]:
    """Check `device`, which is not open, step by step; ends where later steps make no sense.

    What is wrong with the device is a Check, never an exception. The work directory is made, nothing else
    stays there. The lock is waited for as long as the device was told to. Afterwards the device is closed.
    """
    patient = Patient(device, chosen)
    try:
        arrival = _arrival(patient)
        yield from arrival
        if any(check.ok is False for check in arrival):
            return
        failed = set()
        for step in STEPS:
            try:
                check = step(patient)
            except DeviceError as error:
                # No shell, or no connection any more: what follows would say the same.
                yield _failed(step.__name__, device, error)
                return
            failed |= {check.name} if check.ok is False else set()
            yield check
        yield _lock(device) if not failed & NEEDED_TO_OPEN else LOCK_NOT_TRIED
    finally:
        device.close()


def _arrival(patient: Patient) -> list[Check]:
    remote = patient.remote
    if remote is None:
        return [
            Check(name="reach", ok=None, found="this machine"),
            Check(name="authenticate", ok=None, found="not needed"),
        ]
    try:
        remote.reach()
    except DeviceError as error:
        if not _answered(remote, error):
            return [_failed("reach", remote, error)]
        reached = Check(name="reach", ok=True, found=remote.transport.address)
        return [reached, _failed("authenticate", remote, error)]
    return [
        Check(name="reach", ok=True, found=remote.transport.address),
        Check(name="authenticate", ok=True, found="its host key is known, and it takes ours"),
    ]


def _answered(remote: RemoteMachine, error: DeviceError) -> bool:
    """Whether somebody was there to refuse us."""
    address_known = remote.transport.address != remote.name
    no_such_host = isinstance(error.__cause__, socket.gaierror)
    return address_known and not no_such_host and not isinstance(error, TransientDeviceError)


def _lock(device: Device) -> Check:
    try:
        device.open()
    except TransientDeviceError as error:
        told = _failed("lock", device, error)
        return Check(name="lock", ok=None, found=told.found, advice=told.advice)
    except DeviceError as error:
        return _failed("lock", device, error)
    return Check(name="lock", ok=True, found="free")


def _failed(name: str, device: Device, error: DeviceError) -> Check:
    """Messages say what happened, then, after a colon, what to do."""
    found, _, advice = str(error).removeprefix(f"{device.name}: ").partition(": ")
    return Check(name=name, ok=False, found=found, advice=advice)
