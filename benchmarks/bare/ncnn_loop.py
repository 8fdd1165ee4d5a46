"""`python ncnn_loop.py MODEL.param MODEL.bin THREADS FEED.npy[:BATCH_AXIS] ...`: ncnn in a plain loop."""

import sys

import ncnn
import numpy as np
from protocol import answer_blocks

param, weights, threads, *feeds = sys.argv[1:]
net = ncnn.Net()
net.opt.num_threads = int(threads)
net.opt.use_vulkan_compute = False
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
net.load_param(param)
net.load_model(weights)
arrays = []
for feed in feeds:
    path, _, axis = feed.partition(":")
    arrays.append(np.squeeze(np.load(path), int(axis)) if axis else np.load(path))


def infer() -> list[np.ndarray]:
    """Copy in, extract all outputs, copy out."""
    with net.create_extractor() as extractor:
        mats = [ncnn.Mat(array).clone() for array in arrays]
        for index, mat in enumerate(mats):
            extractor.input(f"in{index}", mat)
        return [np.array(extractor.extract(name)[1]) for name in net.output_names()]


answer_blocks(infer)
