"""What the project's own tests share."""

import os

import pytest


def pytest_collection_modifyitems(config, items):
    """The emulated machine takes a minute to come up: its tests run when asked for with -m."""
    if config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("machine")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """With FAIL_ON_SKIP set, as in CI, a skipped test fails the session: everything can run there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("FAIL_ON_SKIP") and skipped and session.exitstatus == 0:
        reporter.write_line(f"\nFAIL_ON_SKIP: {len(skipped)} skipped")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
