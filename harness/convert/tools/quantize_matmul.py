"""Store the weights of an ONNX file's MatMuls in 8 or 4 bits: `python quantize_matmul.py order.json`.

Order: {model, out, bits, block_size, is_symmetric, accuracy_level}. Each becomes a MatMulNBits, which makes
floats of its weights again; the others are left as they are. Prints how many of each there are.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer


def main(path: str) -> None:
    """Do what the order at `path` says."""
    order = json.loads(Path(path).read_text("utf-8"))
    settings = {name: order[name] for name in ("bits", "block_size", "is_symmetric", "accuracy_level")}
    quantizer = MatMulNBitsQuantizer(onnx.load(order["model"]), **settings)
    quantizer.process()
    quantizer.model.save_model_to_file(order["out"])
    counts = Counter(node.op_type for node in quantizer.model.model.graph.node)
    Path("found.json").write_text(json.dumps({"MatMulNBits": counts["MatMulNBits"]}))


if __name__ == "__main__":
    main(sys.argv[1])
