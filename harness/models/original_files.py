"""Whether an original is whole and what its key says it is, told before a converter dies of it.

Nothing of it is run. Formats: GraphDef and SavedModel of https://github.com/tensorflow/tensorflow
(core/framework/graph.proto, core/protobuf/saved_model.proto), NetParameter of
https://github.com/BVLC/caffe (src/caffe/proto/caffe.proto), TorchScript's archive of
https://github.com/pytorch/pytorch (torch/csrc/jit/docs/serialization.md).
"""

import ast
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from harness.errors import ConversionError
from harness.models.doctor.findings import Finding
from harness.models.doctor.formats.mapped import mapped
from harness.models.doctor.formats.paddle import check_parameters, weights_of
from harness.models.doctor.formats.tflite import check_tflite
from harness.models.doctor.pickles import imports
from harness.models.doctor.protobuf import MalformedError, fields

GRAPH_NODE, SAVED_GRAPHS = 1, 2
"""Fields of GraphDef and of SavedModel."""

SAVED_VERSION: Final = b"\x08"
"""What a SavedModel begins with, its version; a GraphDef begins with a node."""

LAYERS, OLD_LAYERS = 100, 2
"""Fields of Caffe's NetParameter."""

MODULES: Final = "__torch__"
"""What TorchScript calls the package of all its classes."""

PROGRAM: Final = "__model__"
"""The program in a folder with a file for each weight."""

TRACE: Final = "torch.jit.trace(model.eval(), example).save(...) makes one"


def check_original(files: Mapping[str, Path]) -> None:
    """Raise ConversionError when one of `files` is not, or not whole, what its key in the zoo says."""
    for key, path in files.items():
        if path.is_file() and path.stat().st_size == 0:
            raise ConversionError(f"{path.name} is empty")
        if key in _CHECKS:
            _CHECKS[key](path)
    if "pdmodel" in files:
        _check_combined(files)


def torchscript_inputs(path: Path) -> tuple[str, ...]:
    """What a TorchScript file calls its inputs, in order.

    Raises ConversionError when it holds no network.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            root = names[0].partition("/")[0] if names else ""
            top = next(
                (one for one in imports(archive.read(f"{root}/data.pkl")) if _is_class(one.module)), None
            )
            if top is None or not any(name.startswith(f"{root}/code/") for name in names):
                raise ConversionError(f"{path.name} holds weights and no network (a state dict?): {TRACE}")
            code = archive.read(f"{root}/code/{top.module.replace('.', '/')}.py")
    except zipfile.BadZipFile as error:
        told = "is cut off, or no TorchScript" if _begins(path, b"PK") else "is no TorchScript"
        raise ConversionError(f"{path.name} {told}: {TRACE}") from error
    except (KeyError, EOFError, zlib.error) as error:
        raise ConversionError(f"{path.name} is a zip archive but no TorchScript: {TRACE}") from error
    except (RuntimeError, OSError, ValueError, lzma.LZMAError) as error:
        # Encrypted, compressed in a way that zipfile does not know, or damaged within.
        raise ConversionError(f"{path.name} cannot be read as a zip archive ({error}): {TRACE}") from error
    return _arguments(code, top.name, path)


def uncombined_weights(folder: Path) -> list[Path]:
    """Files of the weights of the Paddle program in `folder`, in the order in which one file holds them.

    That is the order of their names, as paddle.static.save_vars writes them. Raises ConversionError when one
    is not there, not whole, or said to be outside of the folder.
    """
    try:
        names = sorted(weights_of((folder / PROGRAM).read_bytes()))
    except FileNotFoundError as error:
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise ConversionError(f"{folder.name} has no {PROGRAM}; it holds {found}") from error
    except MalformedError as error:
        told = "is cut off" if error.cut else "is no Paddle program"
        raise ConversionError(f"{PROGRAM} {told}: {error}") from error
    outside = [name for name in names if not _is_within(name)]
    if outside:
        raise ConversionError(f"{PROGRAM} says that a weight is in {outside[0]!r}, outside of {folder.name}")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise ConversionError(
            f"{folder.name} lacks {len(missing)} of its {len(names)} weights: {', '.join(missing[:4])}{more}"
        )
    weights = [folder / name for name in names]
    for weight in weights:
        if weight.stat().st_size == 0:
            raise ConversionError(f"{weight.name} is empty")
        _raise_errors(weight, check_parameters(weight, 1))
    return weights


def _is_within(name: str) -> bool:
    """Whether a weight of that name lies in the folder; links are followed, a hub's cache is made of them."""
    pure = PurePosixPath(name)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts


def _check_tflite(path: Path) -> None:
    _raise_errors(path, check_tflite(path))


def _raise_errors(path: Path, findings: Iterable[Finding]) -> None:
    for finding in findings:
        if finding.severity == "error":
            raise ConversionError(f"{path.name} {finding.what}")


def _check_tensorflow(path: Path) -> None:
    found = _top_fields(path, "TensorFlow graph")
    if SAVED_GRAPHS in found and _begins(path, SAVED_VERSION):
        raise ConversionError(
            f"{path.name} is a SavedModel, whose weights lie in other files: freeze it into one graph "
            "(convert_variables_to_constants_v2)"
        )
    if GRAPH_NODE not in found:
        raise ConversionError(f"{path.name} is no TensorFlow graph: it has no nodes")


def _check_caffemodel(path: Path) -> None:
    found = _top_fields(path, "caffemodel")
    if not found & {LAYERS, OLD_LAYERS}:
        raise ConversionError(f"{path.name} is no caffemodel: it has no layers")


def _check_prototxt(path: Path) -> None:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path.name} is no prototxt: it is not text") from error
    if not re.search(r"^\s*layers?\s*:?\s*\{", text, re.MULTILINE):
        raise ConversionError(f"{path.name} is no prototxt: it has no layers")


def _check_torchscript(path: Path) -> None:
    torchscript_inputs(path)


def _check_paddle(path: Path) -> None:
    if not path.is_dir():
        raise ConversionError(
            f"{path.name} is a file; paddle is a folder with {PROGRAM} and a file for each weight. Combined "
            "weights are { pdmodel = ..., pdiparams = ... }"
        )
    uncombined_weights(path)


def _check_combined(files: Mapping[str, Path]) -> None:
    path = files["pdmodel"]
    try:
        weights = weights_of(path.read_bytes())
    except MalformedError as error:
        told = "is cut off" if error.cut else "is no Paddle program"
        raise ConversionError(f"{path.name} {told}: {error}") from error
    _raise_errors(files["pdiparams"], check_parameters(files["pdiparams"], len(weights)))


_CHECKS: Final[Mapping[str, Callable[[Path], None]]] = {
    "tflite": _check_tflite,
    "tensorflow": _check_tensorflow,
    "torchscript": _check_torchscript,
    "prototxt": _check_prototxt,
    "caffemodel": _check_caffemodel,
    "paddle": _check_paddle,
}


def _top_fields(path: Path, what: str) -> set[int]:
    """Numbers of the fields of a protobuf message."""
    try:
        with mapped(path) as data:
            return {field.number for field in fields(data)}
    except MalformedError as error:
        told = "is cut off" if error.cut else f"is no {what}"
        raise ConversionError(f"{path.name} {told}: {error}") from error


def _begins(path: Path, head: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(head)) == head


def _is_class(module: str) -> bool:
    return module == MODULES or module.startswith(f"{MODULES}.")


def _arguments(code: bytes, name: str, path: Path) -> tuple[str, ...]:
    """Arguments of the `forward` of class `name`; TorchScript's code is Python to the parser."""
    try:
        parsed = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        raise ConversionError(f"the code in {path.name} cannot be read: {error}") from error
    except (RecursionError, MemoryError) as error:  # Python's words for code that is nested too deep
        raise ConversionError(f"the code in {path.name} cannot be read: it is nested too deep") from error
    for node in ast.walk(parsed):
        if isinstance(node, ast.ClassDef) and node.name == name:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "forward":
                    return tuple(argument.arg for argument in method.args.args[1:])
    raise ConversionError(f"{path.name} is no TorchScript network: {name} has no forward")
