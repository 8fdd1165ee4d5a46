"""`python onnxruntime_loop.py MODEL.onnx THREADS NAME=FEED.npy ...`: onnxruntime in a plain loop."""

import sys

import numpy as np
import onnxruntime as ort
from protocol import answer_blocks

model, threads, *feeds = sys.argv[1:]
options = ort.SessionOptions()
options.intra_op_num_threads = int(threads)
options.inter_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
inputs = {name: np.load(path) for name, path in (feed.split("=", 1) for feed in feeds)}
answer_blocks(lambda: session.run(None, inputs))
