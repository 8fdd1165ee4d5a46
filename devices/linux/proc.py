"""Single numbers of /proc: memory, counters, load."""

import re


def parse_meminfo(text: str, key: str) -> int | None:
    """Bytes of one line of /proc/meminfo."""
    found = re.search(rf"^{key}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def parse_vmstat(text: str, key: str) -> int | None:
    """One counter of /proc/vmstat."""
    found = re.search(rf"^{key} (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def parse_load_average(text: str) -> float | None:
    """Load over the last minute."""
    found = re.match(r"\d+\.\d+", text)
    return float(found[0]) if found else None
