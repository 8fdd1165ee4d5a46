"""The smallest model there is, y = -x, and the job of running it."""

from harness.spec import Job, TensorSpec, TimingPlan, WarmupPlan


def encoded(*fields):
    """Protocol buffer message of (number, value) fields, small numbers and byte strings only."""
    written = b""
    for number, value in fields:
        if isinstance(value, int):
            written += bytes([number << 3, value])
        else:
            content = value.encode() if isinstance(value, str) else value
            written += bytes([number << 3 | 2, len(content)]) + content
    return written


def negating_model():
    """ONNX: y = -x for float32 [1, 4]."""
    shape = encoded((1, encoded((1, 1))), (1, encoded((1, 4))))
    kind = encoded((1, encoded((1, 1), (2, shape))))
    node = encoded((1, "x"), (2, "y"), (4, "Neg"))
    graph = encoded(
        (1, node), (2, "g"), (11, encoded((1, "x"), (2, kind))), (12, encoded((1, "y"), (2, kind)))
    )
    return encoded((1, 8), (7, graph), (8, encoded((2, 13))))


def job(staged, **changes):
    """A short job of what is staged."""
    given = {
        "runtime": "onnxruntime",
        "backend": "cpu",
        "precision": "fp32",
        "threads": 1,
        "files": staged.files,
        "inputs": staged.inputs,
        "outputs": (TensorSpec(name="y", shape=(1, 4)),),
        "warmup": WarmupPlan(max_iterations=10),
        "timing": TimingPlan(min_iterations=3, max_iterations=12, target_s=0.0),
    }
    return Job(**{**given, **changes})
