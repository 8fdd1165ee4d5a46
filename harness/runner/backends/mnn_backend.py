"""MNN: the session API, with copies into and out of its own tensors inside the span."""

from __future__ import annotations

from typing import Any

import MNN
import numpy as np

from .errors import RunnerError
from .shapes import as_expected

FORWARD_TYPES = {0: "CPU", 13: "CPU (extension)", 1: "Metal", 2: "CUDA", 3: "OpenCL", 5: "NNAPI", 7: "Vulkan"}
PRECISION = {"fp32": "high", "fp16": "low", "w8": "high", "w4": "high", "int8": "high"}
"""On cores without half-precision arithmetic "low" computes in fp32 from fp16 weights."""
NARROWED = {"int64": "int32"}
"""MNN keeps whole numbers in 32 bits, also where the model it was made of has 64, and says nothing."""


class Backend:
    """CPU backend; memory "normal", because "low" quantises activations as well."""

    version = MNN.version()
    obtained: str | None = None

    def load(self, job: dict[str, Any]) -> None:
        """Create interpreter and session from `files["mnn"]` and set the job's input shapes."""
        self.interpreter = MNN.Interpreter(job["files"]["mnn"])
        self.session = self.interpreter.createSession(
            {
                "backend": job["options"].get("backend", "CPU"),
                "numThread": job["threads"],
                "precision": PRECISION[job["precision"]],
                "memory": "normal",
            }
        )
        inputs = self.interpreter.getSessionInputAll(self.session)
        self.inputs = []
        for item in job["inputs"]:
            if item["name"] not in inputs:
                raise RunnerError(
                    "the model's inputs are %s, the job feeds %r" % (sorted(inputs), item["name"])
                )
            tensor = inputs[item["name"]]
            self.interpreter.resizeTensor(tensor, tuple(item["shape"]))
            dtype = NARROWED.get(item["dtype"], item["dtype"])
            kind, order = _halide_type(dtype), _axis_order(tensor)
            self.inputs.append((tensor, tuple(item["shape"]), kind, np.dtype(dtype), order))
        self.interpreter.resizeSession(self.session)
        self.obtained = self._forward_type()
        outputs = self.interpreter.getSessionOutputAll(self.session)
        self.outputs = []
        for spec in job["outputs"]:
            if spec["name"] not in outputs:
                raise RunnerError("the model's outputs are %s, not %r" % (sorted(outputs), spec["name"]))
            tensor = outputs[spec["name"]]
            self.outputs.append((tensor, _axis_order(tensor), tuple(spec["shape"]), spec["dtype"]))

    def infer(self, feeds: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Copy in, run, copy out."""
        for (tensor, shape, kind, dtype, order), feed in zip(self.inputs, feeds):
            values = feed.astype(dtype, copy=False)
            tensor.copyFrom(MNN.Tensor(shape, kind, values, order))
        code = self.interpreter.runSession(self.session)
        if code != 0:
            raise RunnerError("MNN's runSession failed with code %d" % code)
        return [_read(*output) for output in self.outputs]

    def _forward_type(self) -> str:
        number = self.interpreter.getSessionInfo(self.session, 2)
        return FORWARD_TYPES.get(number, "forward type %s" % number)


def _axis_order(tensor: Any) -> Any:
    """What a host tensor must say of its axes to be copied as it is.

    In networks of TensorFlow channels are last. A host tensor that says they are first is transposed on its
    way in or out.
    """
    last = tensor.getDimensionType() == MNN.Tensor_DimensionType_Tensorflow
    return MNN.Tensor_DimensionType_Tensorflow if last else MNN.Tensor_DimensionType_Caffe


def _read(tensor: Any, order: Any, expected: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    shape = tensor.getShape()
    array = np.empty(shape, dtype)
    host = MNN.Tensor(shape, tensor.getDataType(), array, order)
    tensor.copyToHostTensor(host)
    return as_expected(np.array(host.getNumpyData()), expected)


def _halide_type(dtype: str) -> Any:
    kinds = {
        "float32": MNN.Halide_Type_Float,
        "int32": MNN.Halide_Type_Int,
        "uint8": MNN.Halide_Type_Uint8,
    }
    if dtype not in kinds:
        raise RunnerError("MNN takes inputs of %s, not of %s" % (", ".join(sorted(kinds)), dtype))
    return kinds[dtype]
