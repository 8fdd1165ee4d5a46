"""x2paddle's command, for an interpreter started without site: `python x2paddle_convert.py --model=...`.

The program that it writes is run and saved by a second process that takes the first one's place: in the first
one the ONNX model is held several times over and never let go.
"""

from __future__ import annotations

import json
import os
import site
import sys
from types import SimpleNamespace
from typing import Any, NoReturn

# paddle joins this path at import; without site it is None and the import fails.
site.getusersitepackages()

from x2paddle.convert import main  # noqa: E402
from x2paddle.core.program import PaddleGraph  # noqa: E402

SAVE = "--save-static"
save_static = PaddleGraph.dygraph2static


def go_on(graph: Any, save_dir: str, shapes: list[Any], types: list[Any]) -> NoReturn:  # noqa: ANN401
    """In the place of `save_static`: start anew with what it needs of the graph."""
    known = {"name": graph.name, "inputs": graph.inputs, "source_type": graph.source_type}
    order = json.dumps({"graph": known, "save_dir": save_dir, "shapes": shapes, "types": types}, default=str)
    sys.stdout.flush()
    interpreter = sys.orig_argv[: sys.orig_argv.index(__file__)]
    os.execv(sys.executable, [*interpreter, __file__, SAVE, order])  # noqa: S606 - this very program


if __name__ == "__main__":
    if sys.argv[1] == SAVE:
        told = json.loads(sys.argv[2])
        save_static(SimpleNamespace(**told["graph"]), told["save_dir"], told["shapes"], told["types"])
    else:
        PaddleGraph.dygraph2static = go_on
        main()
