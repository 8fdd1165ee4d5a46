"""How fast: the median of launch medians, against the baseline and the model's declared ceiling."""

from collections.abc import Callable

from harness.expect import assert_latency
from harness.spec import Measurement


def test_latency(
    measurement: Measurement, device_samples: Callable[[], None], record_outcome: Callable[[str], None]
) -> None:
    """The case is as fast as it was, within its budget."""
    device_samples()
    record_outcome(assert_latency(measurement))
