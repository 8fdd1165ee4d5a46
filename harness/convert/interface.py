"""What a converted file calls its inputs and outputs, as its own runtime reads it, cached by its content."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from harness.cache import Cache, file_sha256
from harness.convert import param_text
from harness.environments import Packages, environment
from harness.errors import ConversionError
from harness.runtimes import RUNTIMES
from harness.spec import Frozen
from harness.toolchains import ONNX, TOOLS, require_files, run_tool

Files = Mapping[str, Path]
"""Files of one artifact by their role."""


class Port(Frozen, frozen=True, kw_only=True):
    """An input or an output; what the file does not tell is None."""

    name: str
    shape: tuple[int | None, ...] | None = None
    dtype: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({told(self.shape, self.dtype)})"


class Interface(Frozen, frozen=True, kw_only=True):
    """Inputs and outputs in the file's order; ncnn's shapes are without a batch and mere hints."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def told(shape: tuple[int | None, ...] | None, dtype: str | None) -> str:
    """Element type and shape for people: `float32 1x3x?x?`."""
    sizes = "of unknown shape" if shape is None else "x".join(str(size or "?") for size in shape) or "scalar"
    return f"{dtype} {sizes}" if dtype else sizes


def read_interface(cache: Cache, runtime: str, version: str, files: Files) -> Interface:
    """The interface of an artifact; raises ConversionError when `version` of its runtime cannot read it."""
    interface = _of_param(files["param"]) if runtime == "ncnn" else _asked(cache, runtime, version, files)
    if not interface.inputs or not interface.outputs:
        raise ConversionError(f"it has {len(interface.inputs)} inputs and {len(interface.outputs)} outputs")
    return interface


def _asked(cache: Cache, runtime: str, version: str, files: Files) -> Interface:
    """The interface as the runtime itself tells it, in a process of its own."""
    tool, packages, arguments = _TOOLS[runtime](version, files)
    script = TOOLS / tool
    key = {
        "files": {role: file_sha256(path) for role, path in files.items()},
        "script": file_sha256(script),
        "packages": packages,
    }

    def build(path: Path) -> None:
        tools = environment(cache, packages)
        command = tools.command(str(script), *arguments(str(path / "interface.json")))
        printed = run_tool(f"reading it with {runtime}", command, cwd=path, env=tools.variables())
        require_files(f"reading it with {runtime}", printed, path / "interface.json")

    entry = cache.entry("interfaces", key, build)
    return msgspec.json.decode((entry / "interface.json").read_bytes(), type=Interface)


def _of_param(path: Path) -> Interface:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConversionError("not an ncnn .param: it is not text (binary ones are not read)") from error
    layers = param_text.read_layers(text)
    inputs = tuple(
        Port(name=blob, shape=layer.shape()) for blob, layer in param_text.inputs_of(layers).items()
    )
    return Interface(inputs=inputs, outputs=tuple(Port(name=blob) for blob in param_text.outputs_of(layers)))


_Tool = tuple[str, Packages, Callable[[str], tuple[str, ...]]]
"""Script, environment, and the script's arguments for the path it writes to."""


def _onnx(_version: str, files: Files) -> _Tool:
    return "interface_onnx.py", ONNX, lambda out: (str(files["onnx"]), out)


def _mnn(version: str, files: Files) -> _Tool:
    packages = _runtime_packages("mnnconvert", "mnn", version)
    return "interface_mnn.py", packages, lambda out: (str(files["mnn"]), out)


def _paddlelite(version: str, files: Files) -> _Tool:
    packages = _runtime_packages("paddle_lite_opt", "paddlelite", version)
    models = [str(files[role]) for role in ("nb", "pdmodel", "pdiparams") if role in files]
    return "interface_paddlelite.py", packages, lambda out: (out, *models)


def _runtime_packages(name: str, runtime: str, version: str) -> Packages:
    """The environment of the runtime's converter, under the same name so that there is one of it."""
    known = RUNTIMES[runtime]
    return Packages(name=name, python=known.python, dependencies=False, requirements=known.packages(version))


_TOOLS: Final[Mapping[str, Callable[[str, Files], _Tool]]] = {
    "onnxruntime": _onnx,
    "mnn": _mnn,
    "paddlelite": _paddlelite,
}
