"""Write network.prototxt and network.caffemodel here; run with numpy: python make_caffe.py.

Fields of NetParameter, LayerParameter and BlobProto: https://github.com/BVLC/caffe,
src/caffe/proto/caffe.proto.
"""

from pathlib import Path

import numpy as np
from network import BIAS, KERNEL, MATRIX

HERE = Path(__file__).parent
PROTOTXT = """\
name: "network"
layer { name: "image" type: "Input" top: "image" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 6 } } }
layer { name: "convolution" type: "Convolution" bottom: "image" top: "convolution"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "above" type: "ReLU" bottom: "convolution" top: "above" }
layer { name: "shifted" type: "Power" bottom: "above" top: "shifted" power_param { shift: 1 } }
layer { name: "means" type: "Pooling" bottom: "above" top: "means"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "linear" type: "InnerProduct" bottom: "means" top: "linear"
        inner_product_param { num_output: 5 bias_term: false } }
layer { name: "prob" type: "Softmax" bottom: "linear" top: "prob" }
"""
NAME, TYPE, BLOBS = 1, 2, 7
LAYER, SHAPE, DATA, DIM = 100, 7, 5, 1


def number(value):
    head = b""
    while value > 127:
        head += bytes([value & 127 | 128])
        value >>= 7
    return head + bytes([value])


def field(key, content):
    return number(key << 3 | 2) + number(len(content)) + content


def blob(array):
    sizes = field(DIM, b"".join(number(size) for size in array.shape))
    return field(BLOBS, field(SHAPE, sizes) + field(DATA, array.astype("<f4").tobytes()))


def layer(name, kind, *arrays: np.ndarray):
    blobs = b"".join(blob(array) for array in arrays)
    return field(LAYER, field(NAME, name.encode()) + field(TYPE, kind.encode()) + blobs)


layers = layer("convolution", "Convolution", KERNEL, BIAS) + layer("linear", "InnerProduct", MATRIX.T)
(HERE / "network.caffemodel").write_bytes(field(NAME, b"network") + layers)
(HERE / "network.prototxt").write_text(PROTOTXT)
