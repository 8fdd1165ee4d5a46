"""Say a model differently before a converter sees it, where the converter would get it wrong.

Every rewriting is a script in `tools/` that leaves what the model computes as it is, writes nothing for
models it has nothing to do with, and prints what it changed.
"""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Final

from harness import toolchains
from harness.cache import Cache
from harness.environments import environment
from harness.errors import UnsupportedError
from harness.models.prepare import weights_beside
from harness.toolchains import ONNX, TOOLS, run_tool

_IMPORTED: Final = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)


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
        timeout_s=time_for(model),
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
    """Seconds that a tool may take for an ONNX file and the weights beside it."""
    weights = weights_beside(model)
    return toolchains.time_for(model.stat().st_size + (weights.stat().st_size if weights else 0))


def version_of(script: str) -> str:
    """What an artifact's key says of a script: its name, and a hash of its text and of all it imports."""
    texts = [file.read_bytes() for file in _with_imported(TOOLS / script, {})]
    return f"{script}@{hashlib.sha256(b''.join(texts)).hexdigest()[:12]}"


def _with_imported(script: Path, found: dict[Path, None]) -> list[Path]:
    """The script and those beside it that it imports, each once."""
    if script.is_file() and script not in found:
        found[script] = None
        for name in _IMPORTED.findall(script.read_text("utf-8")):
            _with_imported(script.with_name(f"{name}.py"), found)
    return list(found)
