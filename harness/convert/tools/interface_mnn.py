"""Tell the inputs and outputs of an MNN file.

Run in an environment with MNN: `python interface_mnn.py MODEL OUT`; OUT is what interface_onnx.py writes. MNN
tells the sizes of outputs only where those of the inputs are known, and prints on stdout.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import MNN

TYPES = {
    "Halide_Type_Float": "float32",
    "Halide_Type_Double": "float64",
    "Halide_Type_Int": "int32",
    "Halide_Type_Int64": "int64",
    "Halide_Type_Uint8": "uint8",
}


def main(model_path: str, out_path: str) -> None:
    """Write the interface of the model at `model_path` to `out_path`."""
    try:
        interpreter = MNN.Interpreter(model_path)
    except Exception:  # noqa: BLE001 - MNN raises this very class, with a hint to what it printed
        sys.stderr.write("not a readable MNN model, or one of a newer MNN\n")
        sys.exit(2)
    session = interpreter.createSession({})
    interface = {
        "inputs": [port(*item) for item in interpreter.getSessionInputAll(session).items()],
        "outputs": [port(*item) for item in interpreter.getSessionOutputAll(session).items()],
    }
    Path(out_path).write_text(json.dumps(interface, indent=1), "utf-8")


def port(name: str, tensor: MNN.Tensor) -> dict[str, Any]:
    """Name, shape and element type."""
    # Zeros stand for a shape that depends on the inputs'.
    sizes = [size if size > 0 else None for size in tensor.getShape()]
    kind = tensor.getDataType()
    dtype = next((word for known, word in TYPES.items() if getattr(MNN, known) == kind), None)
    return {
        "name": name,
        "shape": sizes if any(sizes) else None,
        "dtype": dtype,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
