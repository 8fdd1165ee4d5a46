"""What a converter is: one file per runtime, each with a `CONVERTER`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from harness.cache import Cache
from harness.convert.calibration import Calibration
from harness.errors import UnsupportedError
from harness.models.originals import PreparedOriginal
from harness.models.prepare import Prepared
from harness.platforms import HOST, Platform
from harness.spec import Case, ConversionOptions, Frozen, Precision
from harness.spec.conversion import OPTIONS

_Options = TypeVar("_Options", bound=ConversionOptions)


class Format(Frozen, frozen=True, kw_only=True):
    """What an artifact is made for: older versions of a runtime cannot read what newer converters write.

    `arch` is the processor, as `uname -m` says it; None where it is not known. Most formats are the same for
    every processor. `options` are what is asked for beyond the precision; None: nothing.
    """

    runtime: str
    version: str
    precision: Precision
    backend: str = "cpu"
    arch: str | None = None
    options: ConversionOptions | None = None

    @classmethod
    def of(cls, case: Case, platform: Platform = HOST, *, options: ConversionOptions | None = None) -> Self:
        """The format that `case` needs on `platform`, converted with `options`."""
        return cls(
            runtime=case.runtime,
            version=case.runtime_version,
            precision=case.precision,
            backend=case.backend,
            arch=platform.processor,
            options=options,
        )

    def settings(self, kind: type[_Options]) -> _Options:
        """The options in force, which are of `kind`: what is asked for, or the defaults."""
        given = self.options or OPTIONS[self.runtime][self.precision]()
        if not isinstance(given, kind):
            raise TypeError(f"{self.runtime} {self.precision} takes {kind.__name__}, not {given}")
        return given


class Request(Frozen, frozen=True, kw_only=True):
    """Convert `model` to `precision` for a runtime's `version` and `backend`, into the directory `out`.

    `arch` and `options` are as in Format; `calibration` are the samples for a static quantizer.
    """

    model: Prepared | PreparedOriginal
    version: str
    precision: Precision
    backend: str
    arch: str | None = None
    out: Path
    calibration: Calibration | None = None
    options: ConversionOptions | None = None

    @property
    def onnx(self) -> Path:
        """The frozen ONNX; raises UnsupportedError where another framework's file is converted."""
        if isinstance(self.model, PreparedOriginal):
            raise UnsupportedError(f"{self.model.name} is {self.model.framework} here, and ONNX is needed")
        return self.model.frozen

    def form(self, runtime: str) -> Format:
        """What is asked for, without the model."""
        return Format(
            runtime=runtime,
            version=self.version,
            precision=self.precision,
            backend=self.backend,
            arch=self.arch,
            options=self.options,
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
    raises ConversionError with the log when it cannot. `original_name` is the name where another framework's
    file is converted, if other tools do that. `tools(method)` says which programs of the user's calibrate by
    a method, for the key and the record; it raises PocketbenchError when they cannot.
    """

    name: Callable[[str], str]
    options: Callable[[Format], dict[str, Any]]
    convert: Callable[[Cache, Request], Converted]
    methods: dict[str, str] = {}
    original_name: Callable[[str], str] | None = None
    tools: Callable[[str], dict[str, Any]] = lambda _: {}
