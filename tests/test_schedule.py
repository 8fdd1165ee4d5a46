"""When a device is cool enough, and what is tried again."""

import logging

import pytest

from devices.local import LocalDevice
from devices.telemetry import Telemetry
from harness.schedule import cool_down


class Warm(LocalDevice):
    """This machine with a sensor that gives `readings` one after the other."""

    def __init__(self, *readings, limit_celsius=None):
        super().__init__("warm", cooldown_celsius=limit_celsius)
        self.readings = list(readings)

    def telemetry(self):
        celsius = self.readings.pop(0)
        return Telemetry(at="now", temperatures_celsius={} if celsius is None else {"cpu": celsius})


def test_a_device_with_a_limit_is_waited_for_and_its_last_reading_is_told():
    device = Warm(61.0, 55.0, 49.0, limit_celsius=50.0)
    assert cool_down(device, step_s=0.0).hottest_celsius == 49.0
    assert device.readings == []


@pytest.mark.parametrize("device", [Warm(90.0), Warm(None, limit_celsius=50.0)])
def test_without_a_limit_or_a_sensor_one_reading_is_enough(device):
    cool_down(device, step_s=0.0)
    assert device.readings == []


def test_a_device_that_stays_hot_is_measured_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        told = cool_down(Warm(70.0, limit_celsius=50.0), limit_s=0.0)
    assert told.hottest_celsius == 70.0
    assert "warm: still 70 °C after 0 s, measured while hotter than its 50 °C" in caplog.text
