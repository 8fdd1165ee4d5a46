"""What a converter is: one file per runtime, each with a `CONVERTER`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from harness.cache import Cache
from harness.convert.calibration import Calibration
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

    `arch` is as in Format; `calibration` are the samples for a static quantizer.
    """

    model: Prepared
    version: str
    precision: Precision
    backend: str
    arch: str | None = None
    out: Path
    calibration: Calibration | None = None

    def form(self, runtime: str) -> Format:
        """What is asked for, without the model."""
        return Format(
            runtime=runtime,
            version=self.version,
            precision=self.precision,
            backend=self.backend,
            arch=self.arch,
        )


class Converted(Frozen, frozen=True, kw_only=True):
    """Files by the role the runner knows them by, relative to the artifact, and options for the job.

    `found` is what the conversion has to say of its result, such as how many operators it left in fp32; it is
    recorded with the artifact.
    """

    files: dict[str, str]
    job_options: dict[str, Any] = {}
    found: dict[str, Any] = {}


class Converter(Frozen, frozen=True, kw_only=True):
    """A converter: `name(version)` says which one, at which version, serves that version of the runtime.

    `options(form)` are the settings that distinguish one conversion from another; they are part of the
    artifact's key. It raises UnsupportedError for what there is nothing for, such as a processor. `methods`
    are the calibration methods for int8, the default first, and what the runtime calls them. `convert`
    raises ConversionError with the log when it cannot.
    """

    name: Callable[[str], str]
    options: Callable[[Format], dict[str, Any]]
    convert: Callable[[Cache, Request], Converted]
    methods: dict[str, str] = {}
