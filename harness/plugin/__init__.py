"""The pytest face: options, one `target` per test, one execution shared by the tests of a target.

Thin: what to measure is planned in harness/plan.py, measured by harness/run.py, shown by reports/.
Nothing heavy is imported before the first measurement.
"""

from harness.plugin.hooks import (
    pytest_configure,
    pytest_configure_node,
    pytest_generate_tests,
    pytest_itemcollected,
    pytest_report_header,
    pytest_report_teststatus,
    pytest_runtestloop,
    pytest_sessionfinish,
    pytest_sessionstart,
    pytest_terminal_summary,
    pytest_unconfigure,
    pytest_xdist_make_scheduler,
)
from harness.plugin.items import device_samples, measurement, record_outcome
from harness.plugin.options import pytest_addoption

__all__ = [
    "device_samples",
    "measurement",
    "pytest_addoption",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
    "pytest_itemcollected",
    "pytest_report_header",
    "pytest_report_teststatus",
    "pytest_runtestloop",
    "pytest_sessionfinish",
    "pytest_sessionstart",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "pytest_xdist_make_scheduler",
    "record_outcome",
]
