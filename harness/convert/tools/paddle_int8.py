"""Static int8 of a Paddle model: `python paddle_int8.py order.json`, by Paddle's own quantizer.

Order: {model, algorithm, operators, per_channel, samples, names, out}. `model` is the path of .pdmodel and
.pdiparams without their ending; `samples` are .npz files of the inputs, whose names there `names` maps the
model's to. Writes model.pdmodel and model.pdiparams into `out`, and found.json beside the order.
"""

from __future__ import annotations

import json
import site
import sys
from pathlib import Path

# paddle joins this path at import; without site it is None and the import fails.
site.getusersitepackages()

import numpy as np  # noqa: E402
import paddle  # noqa: E402
from known_names import require_known  # noqa: E402
from paddle import static  # noqa: E402
from paddle.static.quantization import PostTrainingQuantization  # noqa: E402
from paddle.static.quantization.quant_config import SUPPORT_QUANTIZATION_OP_DICT  # noqa: E402


class Samples(paddle.io.Dataset):  # type: ignore[misc]
    """Calibration samples in the order of the model's inputs."""

    def __init__(self, files: list[str], names: list[str]) -> None:
        super().__init__()
        self._files, self._names = files, names

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        with np.load(self._files[index]) as stored:
            return tuple(stored[name] for name in self._names)


def main(path: str) -> None:
    """Do what the order at `path` says."""
    order = json.loads(Path(path).read_text("utf-8"))
    model = Path(order["model"])
    require_known("operator to quantize", order["operators"], list(SUPPORT_QUANTIZATION_OP_DICT))
    paddle.enable_static()
    executor = static.Executor(paddle.CPUPlace())
    program, inputs, _ = static.load_inference_model(str(model), executor)
    loader = paddle.io.DataLoader(
        Samples(order["samples"], [order["names"][name] for name in inputs]),
        feed_list=[program.global_block().var(name) for name in inputs],
        return_list=False,
        batch_size=None,
        places=[paddle.CPUPlace()],
    )
    quantizer = PostTrainingQuantization(
        executor=executor,
        model_dir=str(model.parent),
        model_filename=f"{model.name}.pdmodel",
        params_filename=f"{model.name}.pdiparams",
        data_loader=loader,
        batch_size=1,
        batch_nums=len(order["samples"]),
        algo=order["algorithm"],
        quantizable_op_type=order["operators"],
        weight_quantize_type="channel_wise_abs_max" if order["per_channel"] else "abs_max",
    )
    quantized = quantizer.quantize()
    kinds = [operator.type for block in quantized.blocks for operator in block.ops]
    Path("found.json").write_text(
        json.dumps({"quantizing_operators": sum("quantize" in kind for kind in kinds)})
    )
    quantizer.save_quantized_model(
        order["out"], model_filename="model.pdmodel", params_filename="model.pdiparams"
    )


if __name__ == "__main__":
    main(sys.argv[1])
