"""Plain frozen data that flows one way: Case -> Job -> LaunchResult -> Measurement -> Verdict. No IO.

Units are in the names; absent readings are None. Everything here survives a round trip through JSON.
"""

from harness.spec.base import SCHEMA, Frozen
from harness.spec.cases import (
    PRECISIONS,
    Budget,
    Case,
    Expectation,
    Export,
    Model,
    Original,
    ParityLimits,
    PinnedFile,
    Precision,
    SuppliedArtifact,
    TensorSpec,
)
from harness.spec.conversion import CalibrationSettings, ConversionOptions
from harness.spec.jobs import (
    DeviceState,
    Job,
    JobInput,
    LaunchResult,
    MemoryUse,
    RunnerResult,
    Status,
    TimingPlan,
    Warmup,
    WarmupPlan,
)
from harness.spec.judgements import (
    Interval,
    Latency,
    OutputParity,
    Parity,
    Verdict,
    VerdictKind,
)
from harness.spec.measurements import Against, Artifact, BundleInfo, Measurement, Pair, RunInfo

__all__ = [
    "PRECISIONS",
    "SCHEMA",
    "Against",
    "Artifact",
    "Budget",
    "BundleInfo",
    "CalibrationSettings",
    "Case",
    "ConversionOptions",
    "DeviceState",
    "Expectation",
    "Export",
    "Frozen",
    "Interval",
    "Job",
    "JobInput",
    "Latency",
    "LaunchResult",
    "Measurement",
    "MemoryUse",
    "Model",
    "Original",
    "OutputParity",
    "Pair",
    "Parity",
    "ParityLimits",
    "PinnedFile",
    "Precision",
    "RunInfo",
    "RunnerResult",
    "Status",
    "SuppliedArtifact",
    "TensorSpec",
    "TimingPlan",
    "Verdict",
    "VerdictKind",
    "Warmup",
    "WarmupPlan",
]
