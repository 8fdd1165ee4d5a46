"""Files that a runtime or a converter reads, one form per file: each says whether the file is whole.

A check is `check(path) -> Examined[str]`: its findings, and then what the model is, in one line.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from harness.models.doctor.findings import Examined
from harness.models.doctor.formats.gguf import check_gguf
from harness.models.doctor.formats.mnn import check_mnn
from harness.models.doctor.formats.ncnn import check_ncnn
from harness.models.doctor.formats.paddle import check_paddle
from harness.models.doctor.formats.paddlelite import check_paddlelite
from harness.models.doctor.formats.tflite import check_tflite

__all__ = ["CHECKS"]

CHECKS: Final[Mapping[str, Callable[[Path], Examined[str]]]] = {
    "GGUF": check_gguf,
    "MNN": check_mnn,
    "Paddle": check_paddle,
    "Paddle-Lite": check_paddlelite,
    "TensorFlow Lite": check_tflite,
    "ncnn": check_ncnn,
}
"""Form, as `places` calls it, -> its check; ONNX is not among them because it needs a toolchain."""
