"""Paddle-Lite: https://github.com/PaddlePaddle/Paddle-Lite."""

from harness.runtimes.base import Runtime

PADDLELITE = Runtime(
    name="paddlelite",
    default_version="2.13rc0",
    # The wheel declares nothing; with NumPy 2 its Tensor.from_numpy corrupts silently.
    requirements=("paddlelite=={version}", "numpy=={numpy}"),
    numpy={"3.8": "1.24.4"},
    newest_numpy="1.26.4",
    python="3.10",
    precisions=("fp32", "fp16", "w16", "w8", "int8"),
    lacking={
        "bf16": "It has kernels for floats, half floats and 8-bit numbers",
        "w4": "Its optimiser stores weights in 8 or 16 bits",
    },
    default_precisions=("fp32",),
    # The full predictor on a Paddle model, and the light one on an .nb file as phones have it.
    backends=("cpu", "mobile"),
    environment={"OMP_NUM_THREADS": "{threads}", "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
)
