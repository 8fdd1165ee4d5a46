"""`python paddlelite_loop.py MODEL.pdmodel MODEL.pdiparams THREADS NAME=FEED.npy ...`: the plain loop."""

import sys

import numpy as np
from paddlelite import lite
from protocol import answer_blocks

model, parameters, threads, *feeds = sys.argv[1:]
config = lite.CxxConfig()
config.set_model_file(model)
config.set_param_file(parameters)
config.set_threads(int(threads))
fp32 = lite.PrecisionType.FP32
config.set_valid_places([lite.Place(lite.TargetType.X86, fp32), lite.Place(lite.TargetType.Host, fp32)])
predictor = lite.create_paddle_predictor(config)
names = predictor.get_input_names()
arrays = {names.index(name): np.load(path) for name, path in (feed.split("=", 1) for feed in feeds)}


def infer() -> list[np.ndarray]:
    """Copy in, run, copy out."""
    for index, array in arrays.items():
        predictor.get_input(index).from_numpy(array)
    predictor.run()
    return [predictor.get_output(i).numpy() for i in range(len(predictor.get_output_names()))]


answer_blocks(infer)
