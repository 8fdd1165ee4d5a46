"""MNN's .mnn: the FlatBuffer `Net` of schema/default/MNN.fbs in https://github.com/alibaba/MNN."""

from pathlib import Path
from typing import Final

from harness.models.doctor.findings import Examined, Findings, error, good, listed, note, several, sized
from harness.models.doctor.formats.flatbuffer import MalformedError, Table, root_of
from harness.models.doctor.formats.mapped import mapped

BUSINESS_CODE, TENSORS, OPERATORS, OUTPUTS, SOURCE, NAMES = 0, 1, 3, 4, 6, 7
"""Fields of Net."""

OP_INPUTS, OP_KIND, OP_PARAMETERS, OP_NAME, OP_OUTPUTS, OP_TYPE = 0, 1, 2, 3, 4, 5
"""Fields of Op; a union takes two, its kind and its value."""

CONVOLUTION: Final = 9
"""The kind that convolutions of all sorts have, and what the converter makes one of."""

SOURCES: Final = ("Caffe", "TensorFlow", "TFLite", "ONNX", "TorchScript")
AGAIN: Final = "copy or convert it again"


def check_mnn(path: Path) -> Examined[str]:
    """Check that every operator of the network lies within the file, and external weights beside it."""
    with mapped(path) as data:
        try:
            net = root_of(data)
            operators = net.tables(OPERATORS)
            names = [_whole(operator) for operator in operators]
            outputs, tensors = net.texts(OUTPUTS), net.texts(NAMES)
            source = _source(net)
        except MalformedError as failed:
            # Operators are written from the end of the file to its beginning: what is lost is their start.
            told = f"is cut off: {failed}" if failed.cut else f"is no MNN file: {failed}"
            yield error("model", "truncated" if failed.cut else "not-mnn", path.name, told, AGAIN)
            return "MNN, not readable"
    if not names:
        told = "has no operators: it is no network of MNN's"
        yield error("model", "not-mnn", path.name, told, AGAIN)
        return "MNN, not readable"
    size = path.stat().st_size
    summary = f"MNN from {source}, {several(len(names), 'operator')}, {sized(size)}"
    yield good(
        "model",
        path.name,
        f"{several(len(names), 'operator')}, {several(len(tensors), 'tensor')}, outputs {listed(outputs)}",
    )
    yield from _external(path)
    told = "precision of the weights and the version of MNN it was made for are not checked"
    yield note("model", "not-checked", path.name, told)
    return summary


def convolutions(path: Path) -> list[str]:
    """Names of the convolutions of an .mnn file; raises MalformedError when it is broken."""
    with mapped(path) as data:
        operators = root_of(data).tables(OPERATORS)
        return [one.text(OP_NAME) for one in operators if one.byte(OP_KIND) == CONVOLUTION]


def _whole(operator: Table) -> str:
    """The operator's name, after everything of it that can be followed without knowing its kind."""
    operator.vector(OP_INPUTS, 4)
    operator.table(OP_PARAMETERS)
    operator.vector(OP_OUTPUTS, 4)
    return operator.text(OP_NAME)


def _source(net: Table) -> str:
    number = net.byte(SOURCE)
    return SOURCES[number] if number < len(SOURCES) else f"source {number}"


def _external(path: Path) -> Findings:
    """Weights in a file of their own, which mnnconvert writes with --saveExternalData."""
    weights = path.with_name(f"{path.name}.weight")
    if weights.is_file():
        yield good("model", weights.name, f"external weights, {sized(weights.stat().st_size)}")
