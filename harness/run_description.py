"""What is known of a run before it begins: how it was asked for, by which pocketbench, on which machine."""

import platform
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from harness.plan import Plan
from harness.spec import RunInfo


def describe_run(run_id: str, started_at: str, argv: Sequence[str], plan: Plan) -> RunInfo:
    """What is known of a run before it begins."""
    return RunInfo(
        run_id=run_id,
        started_at=started_at,
        argv=tuple(argv),
        effort=plan.effort.name,
        seed=plan.seed,
        devices=tuple(plan.devices),
        pocketbench_version=version("pocketbench"),
        source_revision=_revision(),
        planned=len(plan.targets),
        host=_host(),
    )


def _host() -> dict[str, Any]:
    return {
        "node": platform.node(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "clock": time.get_clock_info("perf_counter").resolution,
    }


def _revision() -> str | None:
    """Git revision of the working directory, so that a verdict can be traced to a change."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the user's git
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
