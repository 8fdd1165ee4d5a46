"""What harness/convert/tools/inspect_onnx.py says of an ONNX file."""

import msgspec


class OnnxValue(msgspec.Struct, frozen=True):
    """An input or output; a dimension is a number, a name, or None where there is neither."""

    name: str
    dtype: str
    shape: list[int | str | None] | None


class ExternalFile(msgspec.Struct, frozen=True):
    """A file that holds weights; `inside`: its place is within the model's folder."""

    location: str
    inside: bool
    size_bytes: int | None
    needed_bytes: int
    tensors: int


class OnnxReport(msgspec.Struct, frozen=True):
    """Everything but the weights' values; `unreadable` says why there is nothing else."""

    unreadable: str
    ir_version: int = 0
    producer: str = ""
    opsets: dict[str, int] = {}
    newest_opset: int = 0
    inputs: list[OnnxValue] = []
    outputs: list[OnnxValue] = []
    operators: dict[str, int] = {}
    unknown_operators: list[str] = []
    foreign_domains: dict[str, list[str]] = {}
    parameters: dict[str, int] = {}
    short: list[str] = []
    external: list[ExternalFile] = []
