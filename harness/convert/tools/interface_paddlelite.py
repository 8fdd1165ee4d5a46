"""Tell the inputs and outputs of a Paddle-Lite model.

Run in an environment with paddlelite: `python interface_paddlelite.py OUT MODEL.nb` or `... OUT MODEL.pdmodel
MODEL.pdiparams`; OUT is what interface_onnx.py writes. A file that it cannot read ends the process (SIGABRT).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from paddlelite import lite


def main(out_path: str, *model_paths: str) -> None:
    """Write the interface of the model to `out_path`."""
    predictor = lite.create_paddle_predictor(configured(*model_paths))
    inputs = [
        # An .nb file tells no sizes; a Paddle model does.
        {"name": name, "shape": sizes(predictor.get_input(index).shape()), "dtype": None}
        for index, name in enumerate(predictor.get_input_names())
    ]
    outputs = [{"name": name, "shape": None, "dtype": None} for name in predictor.get_output_names()]
    Path(out_path).write_text(json.dumps({"inputs": inputs, "outputs": outputs}, indent=1), "utf-8")


def configured(*model_paths: str) -> lite.MobileConfig | lite.CxxConfig:
    """What the predictor is made from."""
    if len(model_paths) == 1:
        mobile = lite.MobileConfig()
        mobile.set_model_from_file(model_paths[0])
        return mobile
    full = lite.CxxConfig()
    full.set_model_file(model_paths[0])
    full.set_param_file(model_paths[1])
    fp32 = lite.PrecisionType.FP32
    full.set_valid_places([lite.Place(lite.TargetType.X86, fp32), lite.Place(lite.TargetType.Host, fp32)])
    return full


def sizes(shape: list[int]) -> list[int | None] | None:
    """Sizes, None for open ones, and None for all of them when the file tells none."""
    return [size if size > 0 else None for size in shape] or None


if __name__ == "__main__":
    main(*sys.argv[1:])
