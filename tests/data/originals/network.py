"""The network of these files in numpy: a convolution, and two outputs that are read off it.

`shifted` is what the convolution leaves above zero, plus one; `prob` the softmax of a matrix times its means.
No two sizes are equal, so that an axis in another's place shows.
"""

import numpy as np

SHAPE = (1, 3, 8, 6)


def spread(*shape: int) -> np.ndarray:
    """Values between -1 and 1 without a pattern, the same in every version of numpy."""
    steps = np.arange(np.prod(shape), dtype=np.float64)
    return np.sin(steps * steps * 0.7 + 1).astype(np.float32).reshape(shape)


KERNEL = spread(4, 3, 3, 3) * np.float32(0.3)
BIAS = spread(4)
MATRIX = spread(4, 5)


def compute(x: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs for `x`, channels first."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    _, _, height, width = x.shape
    convolved = np.zeros((1, 4, height, width), np.float32)
    for row in range(3):
        for column in range(3):
            window = padded[:, :, row : row + height, column : column + width]
            convolved += np.einsum("nchw,oc->nohw", window, KERNEL[:, :, row, column])
    above = np.maximum(convolved + BIAS[None, :, None, None], 0)
    powers = np.exp(above.mean((2, 3)) @ MATRIX)
    return {"prob": powers / powers.sum(-1, keepdims=True), "shifted": above + 1}
