"""Which device a test of a parallel session belongs to."""

import pytest

from harness.plugin.parallel import device_of

IDS = {f"{device}-ppocr_det-ncnn-fp32-t1": device for device in ("pi", "rpi", "my-pi", "b[1]", "M\\xfcller")}


def nodeid(parameters):
    return f"suites/test_latency.py::test_latency[{parameters}]"


@pytest.mark.parametrize("named", IDS)
def test_a_device_whose_name_ends_another_s_has_its_own_tests_only(named):
    assert device_of(nodeid(named), IDS) == IDS[named]
    assert device_of(nodeid(f"twice-{named}"), IDS) == IDS[named]
    assert device_of(nodeid(f"{named}-twice"), IDS) == IDS[named]
    reversed_ids = dict(reversed(IDS.items()))
    assert device_of(nodeid(named), reversed_ids) == IDS[named]


def test_a_test_without_a_target_is_no_device_s():
    assert device_of("tests/test_x.py::test_x", IDS) is None
    assert device_of(nodeid("xpi-ppocr_det-ncnn-fp32-t1"), IDS) is None
    assert device_of(nodeid("pi-ppocr_det-ncnn-fp32-t16"), IDS) is None
