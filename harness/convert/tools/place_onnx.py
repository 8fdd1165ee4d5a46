"""Copy an ONNX model whose weights lie beside it: `python place_onnx.py MODEL OUT`.

The copy's weights are called as the copy is, as converters expect them to be.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from weights_beside import write_graph


def main(source: str, target: str) -> None:
    """Do what the module says."""
    write_graph(onnx.load(source, load_external_data=False), Path(target), Path(source))


if __name__ == "__main__":
    main(*sys.argv[1:])
