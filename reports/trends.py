"""Earlier latencies of a run's cases, from the history."""

from collections.abc import Iterable

from harness.history import History
from harness.spec import Measurement
from reports.detail import Point
from reports.page import history_key


def read_trends(history: History, measurements: Iterable[Measurement]) -> dict[str, list[Point]]:
    """What `render_page` takes as `history`: per case what came before its run, oldest first."""
    trends = {}
    for measurement in measurements:
        points = history.trend(measurement.case.key, measurement.device_fingerprint)
        trends[history_key(measurement)] = [
            Point(run_id=point.run_id, started_at=point.started_at, latency_ms=point.latency_ms)
            for point in points
            if point.run_id < measurement.run_id
        ]
    return trends
