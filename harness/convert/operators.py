"""Operators that a converter does not have: which, and how many of each the model holds."""

from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from harness.cache import Cache
from harness.environments import environment
from harness.errors import UnsupportedError
from harness.toolchains import ONNX, TOOLS, run_tool

INSPECT = TOOLS / "inspect_onnx.py"


class _Counted(msgspec.Struct, frozen=True):
    """What is read of the inspection's report."""

    operators: dict[str, int]


def count_operators(cache: Cache, model: Path) -> dict[str, int]:
    """How many there are of each operator in an ONNX file, those in the bodies of others included.

    Nothing of a file that cannot be looked at: who asks has something of its own to say.
    """
    tools = environment(cache, ONNX)
    with TemporaryDirectory(prefix="pocketbench-operators-") as scratch:
        report = Path(scratch) / "report.json"
        command = tools.command(str(INSPECT), str(model), str(report))
        try:
            run_tool("counting operators", command, cwd=report.parent, env=tools.variables())
        except UnsupportedError:
            return {}
        return msgspec.json.decode(report.read_bytes(), type=_Counted).operators


def told(names: Collection[str], counts: Mapping[str, int]) -> str:
    """Names in order, each with its count: `Det (1), Hardmax (2)`; one that is not counted goes without."""
    return ", ".join(f"{name} ({counts[name]})" if name in counts else name for name in sorted(names))
