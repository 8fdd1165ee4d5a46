"""One file per runtime, each with a class `Backend`:

`Backend()` imports the runtime; `version` and `obtained` say what it is and where it runs;
`load(job)` makes it ready; `infer(feeds)` takes the inputs as contiguous arrays in the job's order and
returns the outputs as arrays of their own in the job's order. `infer` is the timed span in every backend.
"""

from __future__ import annotations

import importlib
from typing import Any

from .errors import RunnerError

__all__ = ["RunnerError", "open_backend"]

KNOWN = ("onnxruntime", "mnn", "ncnn", "paddlelite")


def open_backend(job: dict[str, Any]) -> Any:
    """Import the job's runtime; the time this takes is the launch's import time."""
    name = job["runtime"]
    if name not in KNOWN:
        raise RunnerError("this runner has no backend for runtime %r, it has: %s" % (name, ", ".join(KNOWN)))
    return importlib.import_module("." + name + "_backend", __name__).Backend()
