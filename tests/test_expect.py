"""What fails a test, and what is only told beside it."""

import pytest
from samples import measurement

from harness.expect import assert_latency, assert_memory, assert_parity
from harness.spec import Budget, Parity, ParityLimits, Verdict

REGRESSED = Verdict(kind="regressed", reason="+90 %", ratio=1.9, baseline_run="a")


@pytest.mark.parametrize(
    "changes", [{"verdict": REGRESSED}, {"budget": Budget(latency_ms=1.0)}], ids=["regressed", "budget"]
)
def test_time_fails_on_a_device_and_never_on_an_emulator(changes):
    with pytest.raises(AssertionError, match="expected"):
        assert_latency(measurement(**changes))
    assert assert_latency(measurement(emulated=True, **changes)) == "26 ms (emulated)"


def test_memory_and_outputs_count_on_an_emulator():
    with pytest.raises(AssertionError, match="at most 1 MiB"):
        assert_memory(measurement(emulated=True, budget=Budget(peak_rss_mib=1.0)))
    (output,) = measurement().parity.outputs
    spoiled = type(output)(name="y", ok=False, failure="NaN where the reference has none")
    wrong = Parity(ok=False, outputs=(spoiled,), limits=ParityLimits(), reference="onnxruntime fp32")
    with pytest.raises(AssertionError, match="NaN"):
        assert_parity(measurement(emulated=True, parity=wrong))


def test_an_emulated_case_without_a_timed_iteration_fails():
    with pytest.raises(AssertionError, match="no launch"):
        assert_latency(measurement(emulated=True, launches=0, latency=None))
