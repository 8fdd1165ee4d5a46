"""Does it still compute the right thing: outputs against onnxruntime fp32 on the host."""

from harness.expect import assert_parity


def test_parity(measurement, record_outcome):
    """Every output is within its precision's limits."""
    record_outcome(assert_parity(measurement))
