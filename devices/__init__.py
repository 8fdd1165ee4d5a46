"""Reach a machine: run programs there, move files, ask what it is and how it feels.

with find_device("local") as device:
    completed = device.run(["uname", "-m"])
    print(completed.stdout, device.facts().soc, device.telemetry().hottest_celsius)
"""

from devices.base import (
    CommandTimeoutError,
    Completed,
    Device,
    DeviceAwayError,
    DeviceBusyError,
    DeviceError,
    Progress,
    TransientDeviceError,
)
from devices.facts import CpuCluster, Facts, Interpreter
from devices.inventory import DRIVERS, InventoryError, find_device, list_devices
from devices.telemetry import Telemetry

__all__ = [
    "DRIVERS",
    "CommandTimeoutError",
    "Completed",
    "CpuCluster",
    "Device",
    "DeviceAwayError",
    "DeviceBusyError",
    "DeviceError",
    "Facts",
    "Interpreter",
    "InventoryError",
    "Progress",
    "Telemetry",
    "TransientDeviceError",
    "find_device",
    "list_devices",
]
