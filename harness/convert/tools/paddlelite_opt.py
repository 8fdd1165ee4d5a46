"""paddle_lite_opt as a script: `python paddlelite_opt.py MODEL PARAMS OUT TARGETS`; writes OUT.nb.

`--fp16` takes half-precision kernels where there are some, `--quantize QUANT_INT8` (or QUANT_INT16) stores
weights in fewer bits, to be made floats again at run time.
"""

import argparse

from paddlelite import lite


def main(options: argparse.Namespace) -> None:
    """Optimise a Paddle model for `targets` into a naive buffer."""
    optimizer = lite.Opt()
    if options.fp16:
        # Before the targets are set, which it adds one to.
        optimizer.enable_fp16()
    optimizer.set_model_file(options.model)
    optimizer.set_param_file(options.parameters)
    optimizer.set_model_type("naive_buffer")
    optimizer.set_valid_places(options.targets)
    optimizer.set_optimize_out(options.out)
    if options.quantize:
        optimizer.set_quant_model(True)
        optimizer.set_quant_type(options.quantize)
    optimizer.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for argument in ("model", "parameters", "out", "targets"):
        parser.add_argument(argument)
    parser.add_argument("--fp16", action="store_true")
    parser.add_argument("--quantize")
    main(parser.parse_args())
