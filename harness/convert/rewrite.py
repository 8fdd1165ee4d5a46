"""Say a model differently before a converter sees it, where the converter would get it wrong.

Every rewriting is a script in `tools/` that leaves what the model computes as it is, writes nothing for
models it has nothing to do with, and prints what it changed.
"""

import shutil
from pathlib import Path

from harness.cache import Cache, file_sha256
from harness.environments import environment
from harness.errors import UnsupportedError
from harness.models.prepare import weights_beside
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


def placed(cache: Cache, model: Path, target: Path) -> None:
    """Copy an ONNX file to `target`; weights that lie beside it come along, called as the copy is."""
    if weights_beside(model) is None:
        shutil.copyfile(model, target)
    else:
        rewritten(cache, "place_onnx.py", model, target)


def refuse_beside(model: Path, converter: str) -> None:
    """Raise UnsupportedError when an ONNX file has weights beside it, which `converter` does not take."""
    if weights := weights_beside(model):
        raise UnsupportedError(
            f"{converter} takes one ONNX file, which ends at protobuf's 2 GiB, and the model has its "
            f"weights in another ({weights.stat().st_size / 2**30:.1f} GiB)"
        )


def time_for(model: Path) -> float:
    """Seconds that a converter may take for a model: ten minutes, and as many for each GiB."""
    weights = weights_beside(model)
    size_bytes = model.stat().st_size + (weights.stat().st_size if weights else 0)
    return 600.0 * (1 + size_bytes / 2**30)


def version_of(script: str) -> str:
    """What an artifact's key says of a rewriting: its name and the hash of its text."""
    return f"{script}@{file_sha256(TOOLS / script)[:12]}"
