"""To MNN from what another framework wrote, through the same converter that takes ONNX."""

import re
from pathlib import Path
from typing import Final

from harness.environments import Environment
from harness.errors import ConversionError, UnsupportedError
from harness.models.doctor.formats.tflite import custom_operators
from harness.models.originals import PreparedOriginal
from harness.toolchains import TOOLS, require_files, run_tool, time_for

FRAMEWORKS: Final = {
    "caffe": ("CAFFE", "caffemodel"),
    "tensorflow": ("TF", "tensorflow"),
    "tflite": ("TFLITE", "tflite"),
    "torchscript": ("TORCH", "torchscript"),
}
"""Framework -> the converter's word for it, and which of the files is its model."""

NOT_BUILT_IN: Final = "Not Support This Model Type"
"""What it prints of a framework that it was built without."""

CUSTOM: Final = ("TFLite_Detection_PostProcess",)
"""Custom operators that it takes."""

CAUSES: Final = (r"^\[libprotobuf ERROR [^\]]*\] (.+)$", r"^\[ERROR\] (.+)$")
"""What it prints of a file that it cannot read, the better first."""

LACKING: Final = re.compile(r"These Op Not Support: (.+)")
"""What it prints of operators: `Tensorflow::Betainc | Tensorflow::Igamma`."""


def convert_original(tools: Environment, original: PreparedOriginal, target: Path, flags: list[str]) -> None:
    """Run mnnconvert on `original`.

    Raises UnsupportedError for a framework that this converter was built without, ConversionError naming the
    operators that MNN does not have.
    """
    word, key = FRAMEWORKS[original.framework]
    arguments = ["-f", word, "--modelFile", str(original.files[key]), "--MNNModel", str(target)]
    if "prototxt" in original.files:
        arguments += ["--prototxt", str(original.files["prototxt"])]
    command = tools.command(str(TOOLS / "mnn_convert.py"), *arguments, "--bizCode", "pocketbench", *flags)
    _refuse_custom_operators(original)
    timeout_s = time_for(sum(file.stat().st_size for file in original.files.values()))
    printed = run_tool("mnnconvert", command, cwd=target.parent, env=tools.variables(), timeout_s=timeout_s)
    if NOT_BUILT_IN in printed:
        raise UnsupportedError(
            f"the converter in MNN's wheel is built without {original.framework}: export the network to ONNX "
            "and give that as the model's source"
        )
    if lacking := LACKING.findall(printed):
        names = [name.rpartition("::")[2].strip() for line in lacking for name in line.split("|")]
        raise ConversionError(f"MNN does not support {_listed(names)}", printed)
    _require(printed, target)


def _refuse_custom_operators(original: PreparedOriginal) -> None:
    """Of these the converter says so and goes on, until it dies or writes what nothing can load."""
    if original.framework != "tflite":
        return
    custom = [name for name in custom_operators(original.files["tflite"]) if name not in CUSTOM]
    if custom:
        raise ConversionError(f"MNN does not support {_listed(custom)} (custom operators of TensorFlow Lite)")


def _require(printed: str, target: Path) -> None:
    """As `require_files`, with the line that says what is wrong in place of the last one."""
    try:
        require_files("mnnconvert", printed, target)
    except ConversionError as error:
        # The parser of a text knows the line; the converter only that there is something.
        found = (re.search(cause, printed, re.MULTILINE) for cause in CAUSES)
        causes = [match[1] for match in found if match]
        if not causes:
            raise
        raise ConversionError(f"mnnconvert wrote no {target.name}: {causes[0]}", printed) from error


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(set(names)))
