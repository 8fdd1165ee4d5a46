"""paddle_lite_opt as a script: `python paddlelite_opt.py MODEL PARAMS OUT TARGETS`; writes OUT.nb."""

import sys

from paddlelite import lite


def main(model: str, parameters: str, out: str, targets: str) -> None:
    """Optimise a Paddle model for `targets` into a naive buffer."""
    optimizer = lite.Opt()
    optimizer.set_model_file(model)
    optimizer.set_param_file(parameters)
    optimizer.set_model_type("naive_buffer")
    optimizer.set_valid_places(targets)
    optimizer.set_optimize_out(out)
    optimizer.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
