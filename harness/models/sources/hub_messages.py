"""What is said between pocketbench and the process that talks to a hub (hub_client.py).

A request on stdin; on stdout, each on a line of its own, how far it is and in the end an answer or a problem.
"""

from typing import Literal

from harness.models.forms import Place
from harness.spec import Frozen

Kind = Literal[
    "unreachable",
    "offline",
    "denied",
    "repository",
    "revision",
    "file",
    "answer",
    "not_a_hub",
    "no_space",
    "not_writable",
    "broken_off",
    "pointer",
    "content",
]


class Request(Frozen, frozen=True, kw_only=True):
    """What is wanted of a hub: the files of `place`, or only the commit that it means."""

    place: Place
    commit_only: bool = False


class Coming(Frozen, frozen=True, kw_only=True, tag=True):
    """How many bytes have come of how many that were missing."""

    done: int
    total: int


class Answer(Frozen, frozen=True, kw_only=True, tag=True):
    """Where the files lie: `files` are names relative to the folder `snapshot` in the hub's own cache."""

    commit: str
    snapshot: str = ""
    files: tuple[str, ...] = ()


class Problem(Frozen, frozen=True, kw_only=True, tag=True):
    """Why there are none: `said` is the cause, `names` what exists instead, nearest first."""

    problem: Kind
    said: str
    endpoint: str
    cache: str
    names: tuple[str, ...] = ()
