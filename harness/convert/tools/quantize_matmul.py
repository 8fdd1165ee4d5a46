"""Store the weights of an ONNX file's MatMuls in 8 or 4 bits: `python quantize_matmul.py order.json`.

Order: {model, out, bits, block_size, is_symmetric, accuracy_level, nodes_to_exclude}. Each becomes a
MatMulNBits, which makes floats of its weights again; the others are left as they are. Writes how many there
are to found.json.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import onnx
from known_names import require_known
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from weights_beside import write_as


def main(path: str) -> None:
    """Do what the order at `path` says."""
    order = json.loads(Path(path).read_text("utf-8"))
    settings = {name: value for name, value in order.items() if name not in {"model", "out"}}
    source = Path(order["model"])
    model = onnx.load(source)
    products = [node.name for node in model.graph.node if node.op_type == "MatMul"]
    require_known("MatMul", order["nodes_to_exclude"], products)
    quantizer = MatMulNBitsQuantizer(model, **settings)
    quantizer.process()
    write_as(quantizer.model.model, Path(order["out"]), source)
    counts = Counter(node.op_type for node in quantizer.model.model.graph.node)
    Path("found.json").write_text(json.dumps({"MatMulNBits": counts["MatMulNBits"]}))


if __name__ == "__main__":
    main(sys.argv[1])
