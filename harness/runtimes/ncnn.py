"""ncnn: https://github.com/Tencent/ncnn."""

from harness.runtimes.base import Runtime

NCNN = Runtime(
    name="ncnn",
    default_version="1.0.20261020",
    # Its declared dependencies (requests, tqdm, opencv, portalocker) are for its model zoo, not for running.
    requirements=("ncnn=={version}", "numpy=={numpy}"),
    python="3.11",
    precisions=("fp32", "fp16", "bf16", "int8"),
    lacking={
        "w16": "It stores weights as floats, half floats, bfloat16 or 8 bits",
        "w8": "Its 8-bit weights come with 8-bit activations: that is int8",
        "w4": "Its 4-bit weights, for fully connected layers alone, come with 8-bit activations",
    },
    default_precisions=("fp32", "fp16", "bf16"),
    # The same files for both: ncnn compiles its shaders while it loads them.
    backends=("cpu", "vulkan"),
    # Waiting OpenMP threads sleep instead of spinning: 171 ms against 24-35 ms with two busy threads.
    environment={"OMP_NUM_THREADS": "{threads}", "OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
)
