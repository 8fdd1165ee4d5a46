"""Which machine a benchmark's figures come from."""

import os
import platform

from devices import find_device


def describe() -> str:
    """One line: processor, cores, kernel, load before the benchmark."""
    facts = find_device("local").facts()
    load = os.getloadavg()[0]
    return (
        f"{facts.model or facts.soc or facts.arch}, {facts.cores} cores, {platform.release()}, "
        f"load {load:.1f} at the start"
    )
