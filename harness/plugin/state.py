"""What a session keeps between hooks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.plan import Plan
from harness.plugin.runlog import RunLog

if TYPE_CHECKING:
    from harness.run import Run


@dataclass
class SessionState:
    """Chosen once per session and shared with its workers; `run_id` is None until the run begins."""

    seed: int
    started_at: str
    run_id: str | None = None
    report: Path | None = None
    notes: list[str] = field(default_factory=list)


SESSION = pytest.StashKey[SessionState]()
PLAN = pytest.StashKey[Plan]()
RUN: "pytest.StashKey[Run]" = pytest.StashKey()
LOG = pytest.StashKey[RunLog]()
