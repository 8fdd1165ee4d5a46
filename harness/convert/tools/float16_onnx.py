"""Convert an ONNX file to fp16 weights and arithmetic: `python float16_onnx.py order.json`."""

import json
import sys

import onnx
from onnxconverter_common import float16


def main(path):
    """Do what the order at `path` says: {model, out, keep_io_types, op_block_list}."""
    with open(path) as stream:
        order = json.load(stream)
    blocked = [*float16.DEFAULT_OP_BLOCK_LIST, *order["op_block_list"]]
    model = float16.convert_float_to_float16(
        onnx.load(order["model"]), keep_io_types=order["keep_io_types"], op_block_list=blocked
    )
    onnx.save(model, order["out"])


if __name__ == "__main__":
    main(sys.argv[1])
