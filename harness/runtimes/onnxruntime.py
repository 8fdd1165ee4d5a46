"""onnxruntime, the reference as well: https://onnxruntime.ai."""

from harness.runtimes.base import Runtime

ONNXRUNTIME = Runtime(
    name="onnxruntime",
    default_version="1.32.0",
    requirements=("onnxruntime=={version}", "numpy=={numpy}"),
    python="3.11",
    precisions=("fp32", "fp16", "w8", "w4", "int8"),
    default_precisions=("fp32", "fp16"),
    lacking={
        "bf16": "Its CPU kernels compute in float, and few operators have one for bfloat16",
        "w16": "MatMulNBits has no 16 bits, and half floats are fp16",
    },
    # The official Linux builds send telemetry unless told not to.
    environment={"ORT_DISABLE_TELEMETRY": "1"},
)
