"""Just enough protobuf and FlatBuffers to write a model of a few hundred bytes."""

import struct


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def message(*fields):
    """A protobuf message of (number, value) pairs; a value is a number, text, bytes or another message."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return bytes(out)


class Flat:
    """A FlatBuffer table, `{field: value}`; values are numbers, text, bytes, tables or lists of them."""

    def __init__(self, fields):
        self.fields = fields


def flatbuffer(root, identifier=b""):
    """The file: root offset, identifier, then every object behind what refers to it."""
    out = bytearray(4) + identifier
    _refer(out, 0, root)
    return bytes(out)


def _refer(out, place, value):
    """Append `value` and make the offset at `place` point at it."""
    while len(out) % 4:
        out.append(0)
    if isinstance(value, Flat):
        begin = _table(out, place, value)
    elif isinstance(value, list):
        begin = len(out)
        struct.pack_into("<I", out, place, begin - place)
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        for index, item in enumerate(value):
            if isinstance(item, int):
                struct.pack_into("<i", out, begin + 4 + 4 * index, item)
            else:
                _refer(out, begin + 4 + 4 * index, item)
    else:
        data = value.encode() if isinstance(value, str) else value
        begin = len(out)
        struct.pack_into("<I", out, place, begin - place)
        out += struct.pack("<I", len(data)) + data + b"\0"
    return begin


def _table(out, place, table):
    count = max(table.fields, default=-1) + 1
    vtable = len(out)
    offsets, size = [0] * count, 4
    for number in sorted(table.fields):
        offsets[number] = size
        size += 4
    out += struct.pack(f"<HH{count}H", 4 + 2 * count, size, *offsets)
    while len(out) % 4:
        out.append(0)
    begin = len(out)
    struct.pack_into("<I", out, place, begin - place)
    out += struct.pack("<i", begin - vtable) + bytes(size - 4)
    for number, value in sorted(table.fields.items()):
        where = begin + offsets[number]
        if isinstance(value, int):
            struct.pack_into("<i", out, where, value)
        else:
            _refer(out, where, value)
    return begin
