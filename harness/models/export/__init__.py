"""From a folder of Hugging Face weights to one ONNX file, once: what decides, what may run, what is kept.

The work is done by harness/convert/tools/export_hf.py in an environment of its own, and the graph is held
against torch there before it is taken. Beside `model.onnx` lie `export.json` (inputs and outputs with their
open sizes, and how far the graph is from torch) and, where the inputs are tokens, `tokens.json`.
"""

import logging
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.cache import Cache, file_sha256
from harness.environments import Environment
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.models.doctor import TRANSFORMERS
from harness.models.export.architecture import REMAPPED, read_config, task_of
from harness.models.export.environment import EXPORT, export_environment, known_model_types
from harness.models.export.folder import check_healthy, folder_sha256, relevant_files, weight_bytes
from harness.models.export.remote_code import remote_files
from harness.spec import Export, Frozen
from harness.toolchains import TOOLS, ToolKilledError, require_files, run_tool

__all__ = ["Exported", "Tensor", "export_onnx", "read_export"]

SCRIPTS: Final = ("export_hf.py", "remap_hf.py", "sample_tokens.py", "sample.txt")
TIMEOUT_S: Final = 1800.0
LARGEST_COPIES: Final = 4
"""Of the weights, on the disk while exporting: a remapped folder, the graph, and half floats made whole."""

_log = logging.getLogger(__name__)


class Tensor(Frozen, frozen=True, kw_only=True):
    """An input or output of an exported graph; a size that is open has a name instead of a number."""

    dtype: str
    shape: tuple[int | str, ...]


class Exported(Frozen, frozen=True, kw_only=True):
    """What export.json says: the class and task, inputs and outputs, and distances from torch by output.

    `tokens` says where the ids in tokens.json come from, empty without any; `tokens_drawn` that they are no
    text, because no tokenizer could be read.
    """

    model_type: str
    class_name: str
    task: str
    opset: int
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    compared: dict[str, dict[str, float]]
    tokens: str = ""
    tokens_drawn: bool = False


def export_onnx(
    cache: Cache, folder: Path, options: Export | None = None, *, timeout_s: float = TIMEOUT_S
) -> Path:
    """The ONNX file of a folder of weights, exported when it is not there yet.

    Python files of the folder run only with `options.trust_remote_code`, and a warning names them first.
    Raises PocketbenchError when the folder lacks something, UnsupportedError when it needs code that may not
    run or is of no known type, ConversionError (with the tool's log) when it cannot be exported or the graph
    computes something else than torch.
    """
    options = options or Export()
    folder = folder.absolute()
    config = read_config(folder)
    task = task_of(folder, config, options.task)
    files = relevant_files(folder)
    tools = export_environment(cache)
    code = _code_that_runs(folder, config, options, tools)
    key = {
        "folder": folder_sha256(folder, files),
        "task": task,
        "opset": options.opset,
        "trusted": bool(code),
        "tools": EXPORT,
        "scripts": {name: file_sha256(TOOLS / name) for name in SCRIPTS},
    }
    request = {
        "folder": str(folder),
        "task": task,
        "opset": options.opset,
        "trusted": bool(code),
        "remap": config["model_type"] in REMAPPED,
        "sample": str(TOOLS / "sample.txt"),
    }

    def build(path: Path) -> None:
        # Without a tokenizer, what the graph is shown is drawn from the vocabulary, which is told below.
        check_healthy(folder, passed_over={"tokenizer"} if code else {"tokenizer", "code"})
        _check_space(cache, weight_bytes(files))
        if code:
            _log.warning("exporting %s runs %s of it (trust_remote_code)", folder, ", ".join(code))
        _run(tools, folder, request, path, timeout_s)
        told = read_export(path / "model.onnx")
        if told.tokens_drawn:
            _log.warning("the feed `tokens` of %s is no text: it is %s", folder, told.tokens)

    return cache.entry("exports", key, build) / "model.onnx"


def read_export(onnx: Path) -> Exported:
    """What was written beside an exported ONNX file."""
    return msgspec.json.decode((onnx.parent / "export.json").read_bytes(), type=Exported)


def _code_that_runs(
    folder: Path, config: dict[str, Any], options: Export, tools: Environment
) -> tuple[str, ...]:
    """The folder's Python files that have to run; none when transformers has classes of its own for it."""
    kind = config["model_type"]
    if kind in REMAPPED or kind in known_model_types(tools):
        return ()
    files = remote_files(folder)
    if not files:
        raise UnsupportedError(
            f"{folder}: transformers {TRANSFORMERS} does not know the model type {kind!r}, and config.json "
            "names no code for it (auto_map)"
        )
    if not options.trust_remote_code:
        raise UnsupportedError(
            f"{folder}: the model type {kind!r} needs Python files of the folder to run: {', '.join(files)}. "
            "Read them, and if you trust them set export = { trust_remote_code = true } in the zoo "
            "(--trust-remote-code on the command line)"
        )
    return files


def _check_space(cache: Cache, size_bytes: int) -> None:
    free = shutil.disk_usage(cache.root).free
    if free < LARGEST_COPIES * size_bytes:
        raise PocketbenchError(
            f"exporting takes up to {LARGEST_COPIES * size_bytes / 2**20:.0f} MiB in the cache {cache.root}, "
            f"and {free / 2**20:.0f} MiB are free: make room there, or set POCKETBENCH_CACHE to a larger disk"
        )


def _run(tools: Environment, folder: Path, request: dict[str, Any], path: Path, timeout_s: float) -> None:
    (path / "request.json").write_bytes(msgspec.json.encode({**request, "out": str(path)}))
    home = path / "home"
    home.mkdir()
    try:
        printed = run_tool(
            "exporting",
            tools.command(str(TOOLS / "export_hf.py"), "request.json"),
            cwd=path,
            env={**tools.variables(), **_confined(home)},
            timeout_s=timeout_s,
        )
    except ToolKilledError as error:
        raise ToolKilledError(
            f"exporting {folder} was killed, most likely because memory ran out: it takes about five "
            "times the weights in fp32. Close what else runs, or export on a larger machine and use its "
            "ONNX file"
        ) from error
    except ConversionError as error:
        raise ConversionError(f"{folder}: {error}", error.log) from error
    require_files("exporting", printed, path / "model.onnx", path / "export.json")
    shutil.rmtree(home)


def _confined(home: Path) -> dict[str, str]:
    """Nothing is fetched, and nothing is written but in the entry that is being made."""
    return {
        "HOME": str(home),
        "HF_HOME": str(home),
        "TMPDIR": str(home),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
