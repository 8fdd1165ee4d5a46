"""`python mnn_loop.py MODEL.mnn THREADS NAME=FEED.npy ...`: MNN in a plain loop."""

import sys

import MNN
import numpy as np
from protocol import answer_blocks

model, threads, *feeds = sys.argv[1:]
interpreter = MNN.Interpreter(model)
session = interpreter.createSession(
    {"backend": "CPU", "numThread": int(threads), "precision": "high", "memory": "normal"}
)
arrays = {name: np.load(path) for name, path in (feed.split("=", 1) for feed in feeds)}
inputs = {name: interpreter.getSessionInput(session, name) for name in arrays}
for name, array in arrays.items():
    interpreter.resizeTensor(inputs[name], array.shape)
interpreter.resizeSession(session)
outputs = interpreter.getSessionOutputAll(session).values()


def infer() -> list[np.ndarray]:
    """Copy in, run, copy out."""
    for name, array in arrays.items():
        given = MNN.Tensor(array.shape, MNN.Halide_Type_Float, array, MNN.Tensor_DimensionType_Caffe)
        inputs[name].copyFrom(given)
    interpreter.runSession(session)
    results = []
    for output in outputs:
        shape = output.getShape()
        host = MNN.Tensor(
            shape, MNN.Halide_Type_Float, np.empty(shape, np.float32), MNN.Tensor_DimensionType_Caffe
        )
        output.copyToHostTensor(host)
        results.append(np.array(host.getNumpyData()))
    return results


answer_blocks(infer)
