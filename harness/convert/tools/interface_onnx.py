"""Tell the inputs and outputs of an ONNX file.

Run in an environment with onnx: `python interface_onnx.py MODEL OUT`. OUT becomes a JSON object of {inputs,
outputs}, each a list of {name, shape, dtype}; a size or a whole shape that the file leaves open is null.
Exits 2 with one line on stderr when the file is at fault.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper
from onnx.external_data_helper import uses_external_data

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto


def main(model_path: str, out_path: str) -> None:
    """Write the interface of the model at `model_path` to `out_path`."""
    path = Path(model_path)
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        refuse(f"not a readable ONNX model: {error}")
    if not model.graph.node or not model.graph.output:
        refuse("not an ONNX model: it holds no network")
    refuse_weights_elsewhere(model)
    weights = {weight.name for weight in model.graph.initializer}
    interface = {
        "inputs": [port(value) for value in model.graph.input if value.name not in weights],
        "outputs": [port(value) for value in model.graph.output],
    }
    Path(out_path).write_text(json.dumps(interface, indent=1), "utf-8")


def refuse_weights_elsewhere(model: ModelProto) -> None:
    """An artifact is one file: what lies beside it would be left behind."""
    attributes = (attribute for node in model.graph.node for attribute in node.attribute)
    constants = (attribute.t for attribute in attributes if attribute.HasField("t"))
    places = {
        entry.value
        for weight in (*model.graph.initializer, *constants)
        if uses_external_data(weight)
        for entry in weight.external_data
        if entry.key == "location"
    }
    if places:
        refuse(
            f"its weights lie in other files ({', '.join(sorted(places))}): save it as one file "
            "(onnx.save without save_as_external_data)"
        )


def port(value: ValueInfoProto) -> dict[str, Any]:
    """Name, shape and element type."""
    if not value.type.HasField("tensor_type"):
        refuse(f"{value.name!r} is not a tensor")
    tensor = value.type.tensor_type
    # Some exporters write -1 for what is open.
    known = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    sizes = known if tensor.HasField("shape") else None
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name if tensor.elem_type else None
    return {"name": value.name, "shape": sizes, "dtype": dtype}


def refuse(why: str) -> None:
    """End with one line on stderr."""
    sys.stderr.write(f"{' '.join(why.split())}\n")
    sys.exit(2)


if __name__ == "__main__":
    main(*sys.argv[1:])
