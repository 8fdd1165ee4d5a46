"""How fast: the median of launch medians, against the baseline and the model's declared ceiling."""

from harness.expect import assert_latency


def test_latency(measurement, device_samples, record_outcome):
    """The case is as fast as it was, within its budget."""
    device_samples()
    record_outcome(assert_latency(measurement))
