"""Write the Paddle files here, combined and in the folder `uncombined`; run with paddlepaddle 2.6.2."""

from pathlib import Path

import paddle
from network import BIAS, KERNEL, MATRIX, SHAPE
from paddle import static

HERE = Path(__file__).parent


class Network(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.convolution = paddle.nn.Conv2D(3, 4, 3, padding=1)
        self.linear = paddle.nn.Linear(4, 5, bias_attr=False)
        self.convolution.weight.set_value(KERNEL)
        self.convolution.bias.set_value(BIAS)
        self.linear.weight.set_value(MATRIX)

    def forward(self, image):
        above = paddle.nn.functional.relu(self.convolution(image))
        return paddle.nn.functional.softmax(self.linear(above.mean([2, 3]))), above + 1


network = Network()
network.eval()
paddle.jit.save(network, str(HERE / "network"), input_spec=[static.InputSpec(SHAPE, "float32", "image")])
(HERE / "network.pdiparams.info").unlink()

paddle.enable_static()
executor = static.Executor(paddle.CPUPlace())
program, _, _ = static.load_inference_model(str(HERE / "network"), executor)
for operator in program.global_block().ops:
    # The paths of the machine that wrote it.
    operator._remove_attr("op_callstack")
(HERE / "network.pdmodel").write_bytes(program.desc.serialize_to_string())
folder = HERE / "uncombined"
folder.mkdir(exist_ok=True)
(folder / "__model__").write_bytes(program.desc.serialize_to_string())
for variable in program.list_vars():
    if variable.persistable and variable.name not in {"feed", "fetch"}:
        static.save_vars(executor, str(folder), main_program=program, vars=[variable])
