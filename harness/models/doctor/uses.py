"""What pocketbench does with a model that is whole."""

from pathlib import Path
from typing import Final

from harness.models.doctor.files import read_json
from harness.models.doctor.findings import Finding, note
from harness.models.doctor.places import HUGGING_FACE, TENSORS
from harness.models.doctor.transformers import SINCE, remapped_as

CONVERTED: Final = {"MNN": "mnn", "ncnn": "ncnn", "Paddle-Lite": "paddlelite", "Paddle": "paddlelite"}
"""Form of what a runtime reads as it is -> that runtime."""


def use_of(path: Path, form: str, *, alone: bool) -> Finding:
    """What to do next with the model at `path`; `alone`: the file holds all of it."""
    return note("use", "use", path.name, _told(path.absolute(), form, alone=alone))


def _told(path: Path, form: str, *, alone: bool) -> str:
    if form == HUGGING_FACE:
        return _of_folder(path)
    if form == "ONNX":
        source = path if alone else path.parent
        return f'every runtime: source = "file:{source}" in the zoo, then `pocketbench convert` or measure it'
    if form in CONVERTED:
        return f"{CONVERTED[form]} reads it: `pocketbench models import {path.parent}` writes the zoo's table"
    if form == "TensorFlow Lite":
        return f'mnn converts it: originals = {{ mnn = "file:{path}" }} in the zoo'
    if form == TENSORS:
        return "weights alone: with config.json and the rest of its folder it can be exported"
    return "no runtime of pocketbench reads this form: give it the ONNX file that it came from"


def _of_folder(path: Path) -> str:
    config = read_json(path / "config.json") or {}
    instead = remapped_as(config)
    entry = f'source = "file:{path}" in the zoo exports it to ONNX'
    if config.get("quantization_bit") or config.get("quantization_config"):
        return "packed weights are not exported: take the original ones, every runtime packs its own"
    if instead:
        return f"{entry} as {instead}; none of its own code runs"
    if config.get("auto_map") and str(config.get("model_type")) not in SINCE:
        return f"{entry}, if export = {{ trust_remote_code = true }} lets its code run"
    return f"{entry} (docs/models-export.md), and every runtime is measured from that"
