"""Weights of a few values: safetensors, and torch's zip with a pickle written opcode by opcode."""

import io
import json
import struct
import zipfile
from math import prod

BYTES = {"F32": 4, "F16": 2, "I8": 1}
STORAGES = {"F32": "FloatStorage", "F16": "HalfStorage", "I8": "CharStorage"}
PROTOCOL, STOP = b"\x80\x02", b"."


def safetensors(shapes, dtype="F16", *, metadata=None, **changed):
    """A file with `{name: shape}`; `changed` are header entries given otherwise (None leaves one out)."""
    header = {"__metadata__": metadata or {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        size = prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    header.update(changed)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(at)


def torch_zip(shapes, dtype="F16", *, without=()):
    """What torch.save writes of a state dict; the storages numbered in `without` are left out."""
    items = b"".join(
        _text(name) + _tensor(str(index), shape, dtype) for index, (name, shape) in enumerate(shapes.items())
    )
    pickled = PROTOCOL + _global("collections", "OrderedDict") + b")R(" + items + b"u" + STOP
    storages = {
        f"archive/data/{index}": bytes(prod(shape) * BYTES[dtype])
        for index, shape in enumerate(shapes.values())
        if index not in without
    }
    return zipped({"archive/data.pkl": pickled, **storages, "archive/version": b"3\n"})


def running_zip(command):
    """A pytorch_model.bin that runs a shell command when it is unpickled."""
    return zipped(
        {"archive/data.pkl": PROTOCOL + _global("posix", "system") + _text(command) + b"\x85R" + STOP}
    )


def old_torch():
    """How a file of torch before 1.6 begins: a pickled number, then the protocol's version."""
    return (
        PROTOCOL
        + bytes.fromhex("8a0a6cfc9c46f9206aa85019")
        + STOP
        + PROTOCOL
        + b"M\xe9\x03"
        + STOP
        + bytes(64)
    )


def zipped(entries):
    """A zip that is the same every time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def _tensor(key, shape, dtype):
    strides = [prod(shape[index + 1 :]) for index in range(len(shape))]
    storage = b"(" + _text("storage") + _global("torch", STORAGES[dtype]) + _text(key) + _text("cpu")
    storage += _number(prod(shape)) + b"tQ"
    arguments = (
        storage
        + _number(0)
        + _tuple(shape)
        + _tuple(strides)
        + b"\x89"
        + _global("collections", "OrderedDict")
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b")RtR"


def _global(module, name):
    return f"c{module}\n{name}\n".encode()


def _text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _number(number):
    return b"J" + struct.pack("<i", number)


def _tuple(numbers):
    return b"(" + b"".join(map(_number, numbers)) + b"t"
