"""Convert an ONNX file to fp16 weights and arithmetic: `python float16_onnx.py order.json`."""

import json
import sys
from pathlib import Path

import onnx
from onnxconverter_common import float16


def main(path: str) -> None:
    """Do what the order at `path` says: {model, out, keep_io_types, op_block_list}."""
    order = json.loads(Path(path).read_text("utf-8"))
    blocked = [*float16.DEFAULT_OP_BLOCK_LIST, *order["op_block_list"]]
    model = float16.convert_float_to_float16(
        onnx.load(order["model"]), keep_io_types=order["keep_io_types"], op_block_list=blocked
    )
    onnx.save(model, order["out"])


if __name__ == "__main__":
    main(sys.argv[1])
