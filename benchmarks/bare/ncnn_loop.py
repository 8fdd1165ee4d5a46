"""`python ncnn_loop.py MODEL.param MODEL.bin THREADS FEED.npy`: ncnn in a plain loop, one input."""

import sys

import ncnn
import numpy as np
from protocol import answer_blocks

param, weights, threads, feed = sys.argv[1:]
net = ncnn.Net()
net.opt.num_threads = int(threads)
net.opt.use_vulkan_compute = False
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
net.load_param(param)
net.load_model(weights)
array = np.load(feed)[0]


def infer() -> list[np.ndarray]:
    """Copy in, extract all outputs, copy out."""
    with net.create_extractor() as extractor:
        mat = ncnn.Mat(array).clone()
        extractor.input("in0", mat)
        return [np.array(extractor.extract(name)[1]) for name in net.output_names()]


answer_blocks(infer)
