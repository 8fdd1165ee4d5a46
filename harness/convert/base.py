"""What a converter is: one file per runtime, each with a `CONVERTER`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from harness.cache import Cache
from harness.models.prepare import Prepared
from harness.platforms import HOST, Platform
from harness.spec import Case, Frozen, Precision


class Format(Frozen, frozen=True, kw_only=True):
    """What an artifact is made for: older versions of a runtime cannot read what newer converters write.

    `arch` is the processor, as `uname -m` says it; None where it is not known. Most formats are the same for
    every processor.
    """

    runtime: str
    version: str
    precision: Precision
    backend: str = "cpu"
    arch: str | None = None

    @classmethod
    def of(cls, case: Case, platform: Platform = HOST) -> Self:
        """The format that `case` needs on `platform`."""
        return cls(
            runtime=case.runtime,
            version=case.runtime_version,
            precision=case.precision,
            backend=case.backend,
            arch=platform.processor,
        )


class Request(Frozen, frozen=True, kw_only=True):
    """Convert `model` to `precision` for a runtime's `version` and `backend`, into the directory `out`.

    `arch` is as in Format.
    """

    model: Prepared
    version: str
    precision: Precision
    backend: str
    arch: str | None = None
    out: Path


class Converted(Frozen, frozen=True, kw_only=True):
    """Files by the role the runner knows them by, relative to the artifact, and options for the job."""

    files: dict[str, str]
    job_options: dict[str, Any] = {}


class Converter(Frozen, frozen=True, kw_only=True):
    """A converter: `name(version)` says which one, at which version, serves that version of the runtime.

    `options(precision, backend)` are the settings that distinguish one conversion from another, and
    `target(backend, arch)` those for one kind of processor, where the format is not the same for all: they
    are part of the artifact's key. `convert` raises ConversionError with the log when it cannot, `target`
    UnsupportedError for a processor that there is nothing for.
    """

    name: Callable[[str], str]
    options: Callable[[Precision, str], dict[str, Any]]
    convert: Callable[[Cache, Request], Converted]
    target: Callable[[str, str | None], dict[str, Any]] = lambda _backend, _arch: {}
