"""Paddle's .pdmodel (a protobuf ProgramDesc) and .pdiparams (its tensors, one after the other).

paddle/fluid/framework/framework.proto and lod_tensor.cc of https://github.com/PaddlePaddle/Paddle.
"""

import struct
from math import prod
from pathlib import Path
from typing import Final, NamedTuple

from harness.models.doctor.files import broken
from harness.models.doctor.findings import Examined, Findings, error, good, several, sized
from harness.models.doctor.formats.mapped import mapped
from harness.models.doctor.protobuf import Field, MalformedError, fields

BLOCKS, BLOCK_VARS, BLOCK_OPS = 1, 3, 4
"""Fields of ProgramDesc and of BlockDesc."""

VAR_NAME, VAR_TYPE, VAR_PERSISTABLE = 1, 2, 3
"""Fields of VarDesc."""

KIND_OF_VAR, LOD_TENSOR = 1, 7
"""Field `type` of VarType, and the value that is a tensor with weights (FEED and FETCH lists are others)."""

DATA_TYPE, DIMS = 1, 2
"""Fields of TensorDesc."""

WIDTHS: Final = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2}
"""VarType.Type -> bytes: bool, int16, int32, int64, fp16, fp32, fp64, uint8, int8, bf16."""

AGAIN: Final = "copy or convert it again; both files belong together"


class _Program(NamedTuple):
    operators: int
    weights: int


class _CutError(Exception):
    """The file ends within a tensor."""


def check_paddle(path: Path) -> Examined[str]:
    """Check program and parameters, given either of the two."""
    model, parameters = path.with_suffix(".pdmodel"), path.with_suffix(".pdiparams")
    for part, other in ((model, parameters), (parameters, model)):
        if not part.is_file():
            told = f"is missing: {other.name} is of no use without it"
            yield error("model", "paddle-part-missing", part.name, told, AGAIN)
            return "Paddle, not whole"
        found = broken(part, part.name)
        if found is not None and found.kind != "empty":
            yield found
            return "Paddle, not readable"
    program = yield from _read_program(model)
    if program is None:
        return "Paddle, not readable"
    yield from check_parameters(parameters, program.weights)
    total = model.stat().st_size + parameters.stat().st_size
    parts = f"{several(program.operators, 'operator')}, {several(program.weights, 'weight')}"
    return f"Paddle, {parts}, {sized(total)}"


def weights_of(program: bytes) -> list[str]:
    """Names of the weights of a ProgramDesc; raises MalformedError when it is none, or cut off."""
    names = []
    with memoryview(program) as data:
        for block in (field for field in fields(data) if field.number == BLOCKS):
            for field in fields(data, block.begin, block.end):
                if field.number == BLOCK_VARS and _is_weight(data, field.begin, field.end):
                    inner = fields(data, field.begin, field.end)
                    names += [_name(data, one) for one in inner if one.number == VAR_NAME]
    return names


def _name(data: memoryview, field: Field) -> str:
    try:
        return bytes(data[field.begin : field.end]).decode()
    except UnicodeDecodeError as failed:
        raise MalformedError(f"the name at byte {field.begin} is no text", cut=False) from failed


def _read_program(path: Path) -> Examined[_Program | None]:
    operators = weights = 0
    try:
        with memoryview(path.read_bytes()) as data:
            for block in (field for field in fields(data) if field.number == BLOCKS):
                for field in fields(data, block.begin, block.end):
                    operators += field.number == BLOCK_OPS
                    weights += field.number == BLOCK_VARS and _is_weight(data, field.begin, field.end)
    except MalformedError as failed:
        told = f"is cut off: {failed}" if failed.cut else f"is no Paddle program: {failed}"
        yield error("model", "truncated" if failed.cut else "not-paddle", path.name, told, AGAIN)
        return None
    if not operators:
        yield error("model", "not-paddle", path.name, "is no Paddle program: it has no operators", AGAIN)
        return None
    yield good("model", path.name, f"{several(operators, 'operator')}, {several(weights, 'weight')}")
    return _Program(operators, weights)


def _is_weight(data: memoryview, begin: int, end: int) -> bool:
    persistable, kind = False, None
    for field in fields(data, begin, end):
        if field.number == VAR_PERSISTABLE:
            persistable = bool(field.value)
        elif field.number == VAR_TYPE:
            kinds = [
                inner.value for inner in fields(data, field.begin, field.end) if inner.number == KIND_OF_VAR
            ]
            kind = kinds[0] if kinds else None
    return persistable and kind == LOD_TENSOR


def check_parameters(path: Path, weights: int) -> Findings:
    """Check that the file at `path` holds `weights` tensors, whole."""
    size, held = path.stat().st_size, 0
    if size:
        with mapped(path) as data:
            at = 0
            try:
                while at < size:
                    at = _next_tensor(data, at)
                    held += 1
            except (_CutError, MalformedError, struct.error, OverflowError) as failed:
                told = f"is cut off or damaged within tensor {held + 1} of {weights}: {failed}"
                yield error("model", "truncated", path.name, told, AGAIN)
                return
    if held != weights:
        told = f"holds {held} tensors, the program has {weights} weights"
        yield error("model", "tensor-count", path.name, told, AGAIN)
    else:
        yield good("model", path.name, f"{several(held, 'tensor')}, {sized(size)}")


def _next_tensor(data: memoryview, at: int) -> int:
    """Where the tensor that begins at byte `at` ends: u32, levels of detail, u32, description, values."""
    _, levels = struct.unpack_from("<IQ", data, at)
    at += 12
    if levels > 16:
        raise _CutError(f"byte {at} begins no tensor")
    for _ in range(levels):
        (size,) = struct.unpack_from("<Q", data, at)
        at += 8 + size
    _, description = struct.unpack_from("<Ii", data, at)
    at += 8
    if description < 0 or at + description > len(data):
        raise _CutError(f"byte {at} begins no tensor")
    shape, width = [], 0
    for field in fields(data, at, at + description):
        if field.number == DATA_TYPE:
            width = WIDTHS.get(field.value, 0)
        elif field.number == DIMS:
            shape.append(field.value)
    at += description + prod(shape) * width
    if at > len(data):
        raise _CutError(f"it goes on to byte {at} of {len(data)}")
    return at
