"""MNN: https://github.com/alibaba/MNN."""

from harness.runtimes.base import Runtime

MNN = Runtime(
    name="mnn",
    default_version="3.6.1",
    requirements=("MNN=={version}", "numpy=={numpy}"),
    python="3.11",
    precisions=("fp32", "fp16", "w8", "w4", "int8"),
    default_precisions=("fp32", "fp16", "w8"),
    lacking={
        "bf16": "Its converter writes no bfloat16",
        "w16": "Its converter stores weights in 8 bits or fewer, or as half floats: that is fp16",
    },
)
