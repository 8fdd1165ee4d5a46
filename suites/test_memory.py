"""How much memory: the highest resident set of the runner, against the model's declared ceiling."""

from collections.abc import Callable

from harness.expect import assert_memory
from harness.spec import Measurement


def test_memory(measurement: Measurement, record_outcome: Callable[[str], None]) -> None:
    """The case fits into its budget."""
    record_outcome(assert_memory(measurement))
