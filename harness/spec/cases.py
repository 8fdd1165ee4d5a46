"""What is measured: models and cases, and what their owner knows and asks of them."""

from typing import Literal

from harness.spec.base import Frozen
from harness.spec.conversion import CalibrationSettings, ConversionOptions

PRECISIONS = ("fp32", "fp16", "bf16", "w16", "w8", "w4", "int8")
Precision = Literal["fp32", "fp16", "bf16", "w16", "w8", "w4", "int8"]


class TensorSpec(Frozen, frozen=True, kw_only=True):
    """Name, shape and numpy dtype name of one input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


class ParityLimits(Frozen, frozen=True, kw_only=True):
    """Thresholds an output must hold; None takes the precision's default (see harness/parity.py)."""

    max_rel: float | None = None
    cosine: float | None = None
    snr_db: float | None = None
    top_k: float | None = None


class Budget(Frozen, frozen=True, kw_only=True):
    """Ceilings a model's owner declares in the zoo; None means no ceiling."""

    latency_ms: float | None = None
    peak_rss_mib: float | None = None


class Export(Frozen, frozen=True, kw_only=True):
    """How a source that is a folder of weights becomes ONNX; `task` None takes what its config.json says.

    With `trust_remote_code` Python files of the folder run, where the weights need them.
    """

    task: str | None = None
    opset: int = 14
    trust_remote_code: bool = False


class PinnedFile(Frozen, frozen=True, kw_only=True):
    """Where a file comes from and which one it is; `sha256` may be None for a `file:` source."""

    source: str
    sha256: str | None = None


class SuppliedArtifact(Frozen, frozen=True, kw_only=True):
    """A model that somebody has converted already: its files by the role the runner knows them by.

    `inputs`: the model's name of an input -> the file's; `outputs`: the file's names in the order of the
    reference's outputs. What is not named is matched (harness/convert/matching.py).
    """

    runtime: str
    precision: Precision = "fp32"
    files: dict[str, PinnedFile]
    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()


class Original(Frozen, frozen=True, kw_only=True):
    """A model as another framework keeps it, which `runtime`'s own converter takes in place of the ONNX.

    `files` are by what the framework calls each; `inputs` and `outputs` as in SuppliedArtifact.
    """

    runtime: str
    framework: str
    files: dict[str, PinnedFile]
    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()


class Model(Frozen, frozen=True, kw_only=True):
    """A network with named, typed inputs and a realistic feed for each, as the zoo describes it.

    One that has only `artifacts` and `originals` has an empty `source`: nothing else can be converted from
    it. Its outputs are judged against what the runtime that `reference` names has of it in fp32.
    """

    name: str
    source: str = ""
    sha256: str = ""
    feed: str
    inputs: tuple[TensorSpec, ...]
    constants: dict[str, int | float] = {}
    task: Literal["detector", "classifier", "sequence", "other"] = "other"
    license: str = ""
    default: bool = True
    feed_source: str | None = None
    feed_sha256: str | None = None
    parity: dict[str, ParityLimits] = {}
    budget: Budget = Budget()
    artifacts: tuple[SuppliedArtifact, ...] = ()
    originals: tuple[Original, ...] = ()
    reference: str = ""
    export: Export = Export()
    conversion: dict[str, dict[str, ConversionOptions]] = {}
    calibration: CalibrationSettings = CalibrationSettings()

    def options(self, runtime: str, precision: str) -> ConversionOptions | None:
        """What the zoo asks of the conversion for `runtime` and `precision`; None: nothing, the defaults."""
        return self.conversion.get(runtime, {}).get(precision)


class Case(Frozen, frozen=True, kw_only=True, order=True):
    """What is measured: model x runtime x precision x threads x backend."""

    model: str
    runtime: str
    runtime_version: str
    precision: Precision
    threads: int
    backend: str = "cpu"

    @property
    def engine(self) -> str:
        """Runtime at its version, as users write it: `ncnn@1.0.20261020`."""
        return f"{self.runtime}@{self.runtime_version}"

    @property
    def key(self) -> str:
        """Stable identity across runs; the history is joined on it."""
        return "/".join(
            (self.model, self.engine, self.precision, f"t{self.threads}", self.backend),
        )


class Expectation(Frozen, frozen=True, kw_only=True):
    """A known deviation: what is wrong, why, and what proves it; on every backend, unless one is named."""

    model: str
    runtime: str
    precision: Precision
    backend: str | None = None
    expect: Literal["unsupported", "crashed", "timeout", "failed", "parity"]
    reason: str
    evidence: str

    @property
    def label(self) -> str:
        """What it is about, as people read it: `net/ncnn/fp16` or `net/ncnn/fp16/vulkan`."""
        parts = (self.model, self.runtime, self.precision, self.backend)
        return "/".join(part for part in parts if part is not None)

    def is_about(self, case: Case) -> bool:
        """Whether `case`, at any version of the runtime and with any number of threads, is meant."""
        own, given = ((one.model, one.runtime, one.precision) for one in (self, case))
        return own == given and self.backend in {None, case.backend}

    def overlaps(self, other: "Expectation") -> bool:
        """Whether there is a case that both are about."""
        own, given = ((one.model, one.runtime, one.precision) for one in (self, other))
        return own == given and (self.backend == other.backend or None in {self.backend, other.backend})
