"""Does it still compute the right thing: outputs against onnxruntime fp32 on the host."""

from collections.abc import Callable

import pytest

from harness.expect import assert_parity
from harness.spec import Measurement


@pytest.mark.parity
def test_parity(measurement: Measurement, record_outcome: Callable[[str], None]) -> None:
    """Every output is within its precision's limits."""
    record_outcome(assert_parity(measurement))
