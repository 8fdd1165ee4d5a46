"""Arrays in and out of files. Apart, because numpy is imported with the runtime, whose import is timed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


def read_feed(item: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The array of one of a job's inputs, contiguous, in its shape."""
    # ascontiguousarray makes scalars one-dimensional.
    array = np.ascontiguousarray(np.load(item["file"])).reshape(item["shape"])
    if array.dtype.name != item["dtype"]:
        raise SystemExit("feed %s is %s, the job says %s" % (item["name"], array.dtype.name, item["dtype"]))
    return array


def write_outputs(
    folder: str, specs: list[dict[str, Any]], arrays: list[np.ndarray[Any, Any]]
) -> list[dict[str, Any]]:
    """Save each output as `<position>.npy`; returns their names, shapes and dtypes."""
    os.makedirs(folder, exist_ok=True)
    described = []
    for index, (spec, array) in enumerate(zip(specs, arrays)):
        np.save(os.path.join(folder, "%d.npy" % index), array)
        described.append({"name": spec["name"], "shape": array.shape, "dtype": array.dtype.name})
    return described
