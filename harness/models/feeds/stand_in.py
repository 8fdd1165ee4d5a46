"""What a network of unknown purpose is shown until somebody who knows it gives it better.

An imported file says what it takes and not what it is for. This makes it run at once, on something that is no
noise: a page of text where a picture fits, a slow wave for other floats, ones and zeros for the rest. A
network may have no opinion about it, and then parity proves less than it seems: replace it.
"""

import numpy as np
from numpy.typing import NDArray

from harness.models.feeds import Feed
from harness.models.feeds.images import rgb
from harness.models.feeds.text import IMAGENET_MEAN, IMAGENET_STD, page_image
from harness.spec import Model, TensorSpec

SMALLEST_PICTURE = 16
"""Pixels; below that it is no picture."""


def stand_in(model: Model, photo: object, seed: int) -> Feed:
    """One array for each input, by its shape and dtype alone."""
    del photo
    return {tensor.name: _made(tensor, seed + index) for index, tensor in enumerate(model.inputs)}


def _made(tensor: TensorSpec, seed: int) -> NDArray[np.generic]:
    dtype = np.dtype(tensor.dtype)
    picture = _picture(tensor.shape, seed, as_bytes=dtype == np.uint8)
    if picture is not None and dtype.kind in "fu":
        return np.ascontiguousarray(picture.astype(dtype))
    size = int(np.prod(tensor.shape))
    if dtype.kind == "f":
        return _wave(size, seed).reshape(tensor.shape).astype(dtype)
    return (np.arange(1, size + 1) % 2).reshape(tensor.shape).astype(dtype)


def _picture(shape: tuple[int, ...], seed: int, *, as_bytes: bool) -> NDArray[np.float32] | None:
    """A page of text as `shape` wants it, or None where no picture fits.

    Takes NxCxHxW and NxHxWxC with one or three channels. ImageNet's mean and deviation keep it near what most
    networks are trained on; bytes stay 0..255.
    """
    if len(shape) != 4:
        return None
    channels_first = shape[1] in {1, 3}
    channels, height, width = shape[1:] if channels_first else (shape[3], *shape[1:3])
    if channels not in {1, 3} or min(height, width) < SMALLEST_PICTURE:
        return None
    pixels: NDArray[np.float32] = rgb(page_image((width, height), seed))
    if not as_bytes:
        mean, deviation = (np.array(v, np.float32).reshape(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        pixels = ((pixels / 255 - mean) / deviation).astype(np.float32)
    pixels = pixels[:channels]
    return np.broadcast_to(pixels if channels_first else pixels.transpose(1, 2, 0), shape)


def _wave(size: int, seed: int) -> NDArray[np.float64]:
    """Two slow sines between -1 and 1, rounded so that every host computes the same."""
    steps = np.arange(size) + 7.0 * seed
    wave: NDArray[np.float64] = np.round(0.6 * np.sin(steps / 9.0) + 0.4 * np.sin(steps / 31.0), 6)
    return wave
