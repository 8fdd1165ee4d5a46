"""Say a model differently before a converter sees it, where the converter would get it wrong.

Every rewriting is a script in `tools/` that leaves what the model computes as it is, writes nothing for
models it has nothing to do with, and prints what it changed.
"""

from pathlib import Path

from harness.cache import Cache, file_sha256
from harness.environments import environment
from harness.toolchains import ONNX, TOOLS, run_tool


def rewritten(cache: Cache, script: str, model: Path, target: Path, *arguments: str) -> Path:
    """`target`, where `script` wrote `model` anew, or `model` when it found nothing to change.

    Raises ConversionError when the model cannot be said so.
    """
    tools = environment(cache, ONNX)
    run_tool(
        script,
        tools.command(str(TOOLS / script), str(model), str(target), *arguments),
        cwd=target.parent,
        env=tools.variables(),
    )
    return target if target.is_file() else model


def version_of(script: str) -> str:
    """What an artifact's key says of a rewriting: its name and the hash of its text."""
    return f"{script}@{file_sha256(TOOLS / script)[:12]}"
