"""The inference engines pocketbench knows, one file each: `RUNTIMES` by name."""

from harness.errors import PocketbenchError, UnknownNameError
from harness.runtimes.base import Runtime
from harness.runtimes.mnn import MNN
from harness.runtimes.ncnn import NCNN
from harness.runtimes.onnxruntime import ONNXRUNTIME
from harness.runtimes.paddlelite import PADDLELITE

__all__ = ["RUNTIMES", "Runtime", "parse_runtime"]

RUNTIMES: dict[str, Runtime] = {r.name: r for r in (ONNXRUNTIME, MNN, NCNN, PADDLELITE)}


def parse_runtime(text: str) -> tuple[Runtime, str]:
    """Runtime and version of `ncnn` (its default version) or `ncnn@1.0.20260526`."""
    name, at, version = text.strip().partition("@")
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, RUNTIMES)
    if at and not version:
        raise PocketbenchError(f"runtime {text!r} has an @ and no version: write {name} or {name}@VERSION")
    runtime = RUNTIMES[name]
    return runtime, version or runtime.default_version
