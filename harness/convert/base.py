"""What a converter is: one file per runtime, each with a `CONVERTER`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.cache import Cache
from harness.models.prepare import Prepared
from harness.spec import Frozen, Precision


class Request(Frozen, frozen=True, kw_only=True):
    """Convert `model` to `precision` for a runtime's `backend`, into the directory `out`."""

    model: Prepared
    precision: Precision
    backend: str
    out: Path


class Converted(Frozen, frozen=True, kw_only=True):
    """Files by the role the runner knows them by, relative to the artifact, and options for the job."""

    files: dict[str, str]
    job_options: dict[str, Any] = {}


class Converter(Frozen, frozen=True, kw_only=True):
    """A converter at its version.

    `options(precision, backend)` are the settings that distinguish one conversion from another; they are
    part of the artifact's key. `convert` raises ConversionError with the log when it cannot.
    """

    name: str
    options: Callable[[Precision, str], dict[str, Any]]
    convert: Callable[[Cache, Request], Converted]
