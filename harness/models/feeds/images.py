"""Between pictures and the planar tensors that vision networks take."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.errors import PocketbenchError
from harness.spec import Model, TensorSpec

Pixels = NDArray[np.float32]


def image_input(model: Model) -> TensorSpec:
    """The one float32 1x3xHxW input of `model`; raises PocketbenchError when it has another form."""
    if len(model.inputs) == 1:
        tensor = model.inputs[0]
        if len(tensor.shape) == 4 and tensor.shape[:2] == (1, 3) and tensor.dtype == "float32":
            return tensor
    given = ", ".join(f"{t.name} {t.dtype} {'x'.join(map(str, t.shape))}" for t in model.inputs)
    raise PocketbenchError(
        f"model {model.name}: feed {model.feed!r} is for one float32 input of shape 1x3xHxW, not for {given}"
    )


def size_of(tensor: TensorSpec) -> tuple[int, int]:
    """Width and height in pixels of a 1x3xHxW input, in Pillow's order."""
    return tensor.shape[3], tensor.shape[2]


def rgb(image: Image.Image) -> Pixels:
    """3xHxW float32, 0..255, channels red, green, blue."""
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), dtype=np.float32).transpose(2, 0, 1))


def bgr(image: Image.Image) -> Pixels:
    """3xHxW float32, 0..255, channels blue, green, red: OpenCV's order, and so most detectors'."""
    return np.ascontiguousarray(rgb(image)[::-1])
