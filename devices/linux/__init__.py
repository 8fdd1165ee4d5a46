"""What Linux says of itself in /proc and /sys, as pure functions over the text of its files.

A snapshot maps paths without their leading slash to contents. `read_files` takes one on this machine; a
driver for a remote one fetches the same patterns and hands the text in. No reading is required: what is
absent, unreadable or makes no sense is None.
"""

from devices.linux.facts import (
    FACT_FILES,
    parse_clusters,
    parse_core_names,
    parse_cpu_model,
    parse_facts,
    parse_libc,
    parse_os_release,
)
from devices.linux.files import Files, in_natural_order, read_files
from devices.linux.telemetry import (
    CPU_SENSORS,
    TELEMETRY_FILES,
    celsius,
    is_throttled,
    parse_battery,
    parse_get_throttled,
    parse_telemetry,
    parse_temperatures,
    read_telemetry_files,
)

__all__ = [
    "CPU_SENSORS",
    "FACT_FILES",
    "TELEMETRY_FILES",
    "Files",
    "celsius",
    "in_natural_order",
    "is_throttled",
    "parse_battery",
    "parse_clusters",
    "parse_core_names",
    "parse_cpu_model",
    "parse_facts",
    "parse_get_throttled",
    "parse_libc",
    "parse_os_release",
    "parse_telemetry",
    "parse_temperatures",
    "read_files",
    "read_telemetry_files",
]
