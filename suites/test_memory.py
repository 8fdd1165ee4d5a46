"""How much memory: the highest resident set of the runner, against the model's declared ceiling."""

from harness.expect import assert_memory


def test_memory(measurement, record_outcome):
    """The case fits into its budget."""
    record_outcome(assert_memory(measurement))
