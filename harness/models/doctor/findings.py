"""What the doctor says: findings, one per defect or fact, and the diagnosis of one model."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from harness.spec import Frozen

Severity = Literal["error", "warning", "note", "good"]
"""An error keeps the model from loading or makes it wrong; a note is a fact or what was not checked."""

_Found = TypeVar("_Found")


class Finding(Frozen, frozen=True, kw_only=True):
    """One thing that was found: `kind` is the same word for the same defect in every version.

    `step` is what was being looked at, `where` the file (and tensor or line), `what` the finding in a
    sentence, `advice` what to do about it.
    """

    severity: Severity
    step: str
    kind: str
    where: str
    what: str
    advice: str = ""


Findings = Iterator[Finding]
"""Of a step that has nothing else to say."""

Examined = Generator[Finding, None, _Found]
"""Of a step that also hands on what it read: `read = yield from step(...)`."""


class Diagnosis(Frozen, frozen=True, kw_only=True):
    """Everything about one model: what `form` it has, `summary` in one line, and the findings in order."""

    path: Path
    form: str
    summary: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether no error was found."""
        return not any(finding.severity == "error" for finding in self.findings)


def error(step: str, kind: str, where: str, what: str, advice: str) -> Finding:
    """A finding that keeps the model from loading, or makes it compute something else."""
    return Finding(severity="error", step=step, kind=kind, where=where, what=what, advice=advice)


def warning(step: str, kind: str, where: str, what: str, advice: str) -> Finding:
    """A finding that may be meant so, and may not."""
    return Finding(severity="warning", step=step, kind=kind, where=where, what=what, advice=advice)


def note(step: str, kind: str, where: str, what: str, advice: str = "") -> Finding:
    """A fact, or what could not be checked."""
    return Finding(severity="note", step=step, kind=kind, where=where, what=what, advice=advice)


def good(step: str, where: str, what: str) -> Finding:
    """A step that was passed, and what was found there."""
    return Finding(severity="good", step=step, kind="good", where=where, what=what)


def listed(names: list[str], most: int = 4) -> str:
    """Names in a sentence: the first few, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def several(count: int, noun: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def sized(size_bytes: int) -> str:
    """A file size as people read it."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes} bytes"


def counted(number: int) -> str:
    """A number of parameters as people say it."""
    for unit, scale in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= scale:
            return f"{number / scale:.2f} {unit}"
    return str(number)
