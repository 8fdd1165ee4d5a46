"""TensorFlow Lite's .tflite: the FlatBuffer `Model` of tensorflow/lite/schema/schema.fbs."""

from pathlib import Path
from typing import Final

from harness.models.doctor.findings import Examined, error, good, several, sized
from harness.models.doctor.formats.flatbuffer import MalformedError, root_of
from harness.models.doctor.formats.mapped import mapped

IDENTIFIER: Final = b"TFL3"
OPERATOR_CODES, SUBGRAPHS, DESCRIPTION, BUFFERS = 1, 2, 3, 4
"""Fields of Model."""

CUSTOM_CODE = 1
"""Field of OperatorCode."""

GRAPH_TENSORS, GRAPH_OPERATORS = 0, 3
"""Fields of SubGraph."""

AGAIN: Final = "copy or convert it again"


def check_tflite(path: Path) -> Examined[str]:
    """Check the identifier, and that every subgraph and buffer lies within the file."""
    with mapped(path) as data:
        if bytes(data[4:8]) != IDENTIFIER:
            told = f"is no TensorFlow Lite file: bytes 4 to 8 are {bytes(data[4:8])!r}, not {IDENTIFIER!r}"
            yield error("model", "not-tflite", path.name, told, AGAIN)
            return "TensorFlow Lite, not readable"
        try:
            model = root_of(data)
            graphs = model.tables(SUBGRAPHS)
            operators = sum(len(graph.tables(GRAPH_OPERATORS)) for graph in graphs)
            tensors = sum(len(graph.tables(GRAPH_TENSORS)) for graph in graphs)
            held = sum(buffer.vector(0, 1) for buffer in model.tables(BUFFERS))
        except MalformedError as failed:
            told = f"is cut off: {failed}" if failed.cut else f"is damaged: {failed}"
            yield error("model", "truncated", path.name, told, AGAIN)
            return "TensorFlow Lite, not readable"
    if not operators:
        yield error("model", "no-operators", path.name, "has no operators: there is nothing to run", AGAIN)
    else:
        told = f"{several(operators, 'operator')}, {several(tensors, 'tensor')}, {sized(held)} of weights"
        yield good("model", path.name, told)
    return f"TensorFlow Lite, {several(operators, 'operator')}, {sized(path.stat().st_size)}"


def custom_operators(path: Path) -> list[str]:
    """Names of the operators that are none of TensorFlow Lite's own; MalformedError when it is broken."""
    with mapped(path) as data:
        names = [code.text(CUSTOM_CODE) for code in root_of(data).tables(OPERATOR_CODES)]
    return [name for name in names if name]
