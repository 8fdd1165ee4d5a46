"""Models of the runtimes' own formats, each a layer or two."""

import struct

from model_samples.wire import Flat, flatbuffer, message

FLOAT = 1


def onnx(path, *, opset=13, shape=(1, 3, 4, 4), operator="Conv", domain="", external=None, short=False):
    """A convolution; `external` is (file, length) of where its weights lie, `short` lacks some of them."""
    node = message(
        (1, "x"), (1, "w"), (2, "y"), (3, "conv"), (4, operator), *([(7, domain)] if domain else [])
    )
    tensor = [(1, 2), (1, 3), (1, 1), (1, 1), (2, FLOAT), (8, "w")]
    if external:
        tensor += [
            (13, message((1, "location"), (2, external[0]))),
            (13, message((1, "length"), (2, str(external[1])))),
        ]
        tensor.append((14, 1))
    else:
        tensor.append((9, bytes(20 if short else 24)))
    out = (shape[0], 2, *shape[2:])
    graph = message(
        (1, node), (2, "graph"), (5, message(*tensor)), (11, _value("x", shape)), (12, _value("y", out))
    )
    opsets = [(8, message((1, ""), (2, opset)))]
    opsets += [(8, message((1, domain), (2, 1)))] if domain else []
    path.write_bytes(message((1, 8), (2, "by hand"), (7, graph), *opsets))


def _value(name, shape):
    dims = [(1, message((1, size) if isinstance(size, int) else (2, size))) for size in shape]
    return message((1, name), (2, message((1, message((1, FLOAT), (2, message(*dims)))))))


def mnn(path):
    """An input and a convolution."""
    operators = [
        Flat({3: "x", 4: [0], 5: 0}),
        Flat({0: [0], 1: 8, 2: Flat({0: Flat({0: 1})}), 3: "convolution", 4: [1], 5: 11}),
    ]
    path.write_bytes(flatbuffer(Flat({0: "pocketbench", 3: operators, 4: ["y"], 6: 3, 7: ["x", "y"], 8: 2})))


def ncnn(folder, name="net"):
    """Input, convolution with a bias, ReLU."""
    (folder / f"{name}.param").write_text(
        "7767517\n3 3\n"
        "Input       in0   0 1 in0\n"
        "Convolution conv0 1 1 in0 1 0=2 1=1 5=1 6=6\n"
        "ReLU        relu0 1 1 1 out0\n"
    )
    (folder / f"{name}.bin").write_bytes(bytes(4) + bytes(6 * 4) + bytes(2 * 4))


def paddlelite(path, target=4):
    """A program that names one kernel, and two parameters."""
    program = b"\0" * 16 + f"conv2d/def/{target}/1/1".encode() + b"\0" * 8
    parameters = b"".join(struct.pack("<II", 4 + 40, 4) + bytes(40) for _ in range(2))
    header = struct.pack("<H16sQ", 2, b"v2.13-rc", len(program))
    path.write_bytes(header + program + struct.pack("<HHHHI", 0, 0, 6, 2, 44) + parameters)


def paddle(folder, name="model"):
    """One operator, one weight of 2x3 floats."""
    weight = message((1, "w"), (2, message((1, 7))), (3, 1))
    feed = message((1, "feed"), (2, message((1, 9))), (3, 1))
    block = message((1, 0), (2, 0), (3, weight), (3, feed), (4, message((3, "conv2d"))))
    (folder / f"{name}.pdmodel").write_bytes(message((1, block)))
    description = message((1, 5), (2, 2), (2, 3))
    tensor = struct.pack("<IQIi", 0, 0, 0, len(description)) + description + bytes(24)
    (folder / f"{name}.pdiparams").write_bytes(tensor)


def tflite(path):
    """One subgraph with a tensor and an operator, and a buffer."""
    graph = Flat({0: [Flat({3: "x"})], 3: [Flat({0: 0})]})
    buffers = [Flat({}), Flat({0: bytes(16)})]
    path.write_bytes(flatbuffer(Flat({0: 3, 2: [graph], 3: "by hand", 4: buffers}), b"TFL3"))


def gguf(path):
    """One tensor of 32 floats."""
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
    header += _text("general.architecture") + struct.pack("<I", 8) + _text("llama")
    header += _text("token_embd.weight") + struct.pack("<IQQIQ", 2, 4, 8, 0, 0)
    header += bytes(-len(header) % 32)
    path.write_bytes(header + bytes(128))


def _text(text):
    return struct.pack("<Q", len(text)) + text.encode()
