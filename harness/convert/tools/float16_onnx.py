"""Convert an ONNX file to fp16 weights and arithmetic: `python float16_onnx.py order.json`."""

import json
import sys
from pathlib import Path

import onnx
from known_names import require_known
from onnxconverter_common import float16
from weights_beside import is_apart, write_as


def main(path: str) -> None:
    """Do what the order at `path` says: {model, out, keep_io_types, op_block_list, node_block_list}.

    The lists are kinds of operators, and nodes by name, that stay in float.
    """
    order = json.loads(Path(path).read_text("utf-8"))
    source = Path(order["model"])
    model = onnx.load(source)
    nodes = model.graph.node
    known = {*float16.DEFAULT_OP_BLOCK_LIST, *(node.op_type for node in nodes)}
    require_known("operator", order["op_block_list"], known)
    require_known("node", order["node_block_list"], [node.name for node in nodes])
    model = float16.convert_float_to_float16(
        model,
        keep_io_types=order["keep_io_types"],
        op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *order["op_block_list"]],
        node_block_list=order["node_block_list"],
        # Protobuf cannot hand over what has its weights in other files for being too large.
        disable_shape_infer=is_apart(source),
    )
    write_as(model, Path(order["out"]), source)


if __name__ == "__main__":
    main(sys.argv[1])
