"""Rendered text, for networks that find, turn and read it.

Pillow carries its own font, so that the same pixels come out wherever the same Pillow runs.
Normalisations are PaddleOCR's: NormalizeImage of PP-OCRv4's det configuration (ImageNet mean and standard
deviation, on BGR) and resize_norm_img of its recogniser and classifier ((x / 255 - 0.5) / 0.5, zero padding).
"""

import random
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from harness.models.feeds import Feed
from harness.models.feeds.images import bgr, image_input, size_of
from harness.spec import Model

WORDS: Final = (
    "Latency", "Memory", "Parity", "Model", "Device", "Invoice", "Total 249.90", "Street 17", "Open 8-18",
    "Exit", "Platform 4", "Danger", "Water", "Receipt", "No. 20731", "Market", "Harbour", "Sunday",
)  # fmt: skip
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


def page(model: Model, photo: Path | None, seed: int) -> Feed:
    """Words of several sizes, slants and inks on a lit page, for a text detector."""
    del photo
    tensor = image_input(model)
    pixels = bgr(page_image(size_of(tensor), seed)) / 255
    mean = np.array(IMAGENET_MEAN, np.float32).reshape(3, 1, 1)
    std = np.array(IMAGENET_STD, np.float32).reshape(3, 1, 1)
    return {tensor.name: ((pixels - mean) / std)[None]}


def line(model: Model, photo: Path | None, seed: int) -> Feed:
    """One upright line of text cut from a page, for a recogniser or a classifier of direction."""
    del photo
    tensor = image_input(model)
    width, height = size_of(tensor)
    pixels = (bgr(line_image((width, height), seed)) / 255 - 0.5) / 0.5
    padded = np.zeros(tensor.shape, np.float32)
    padded[0, :, :, : pixels.shape[2]] = pixels
    return {tensor.name: padded}


def page_image(size: tuple[int, int], seed: int) -> Image.Image:
    """A page of `size` (width, height): three to six rows of words, depending on its height."""
    draw = random.Random(seed)  # noqa: S311 - scenery, not secrets
    width, height = size
    canvas = _paper(size, draw)
    rows = max(3, min(6, height // 60))
    for row in range(rows):
        left = draw.uniform(0.03, 0.1) * width
        for word in draw.sample(WORDS, len(WORDS)):
            patch = _slanted(word, draw.uniform(0.3, 0.55) * height / rows, draw.uniform(-7, 7))
            if left + patch.width > 0.98 * width:
                continue
            top = (row + 0.5) * height / rows - patch.height / 2
            canvas.paste(_ink(draw), (round(left), round(top)), patch)
            left += patch.width + draw.uniform(0.05, 0.12) * width
    return canvas


def line_image(size: tuple[int, int], seed: int) -> Image.Image:
    """One line of `line_text`, as high as `size` (width, height) says and at most as wide."""
    draw = random.Random(seed)  # noqa: S311 - scenery, not secrets
    height = size[1]
    words = _rendered(line_text(size, seed), _line_points(height))
    canvas = _paper((min(size[0], words.width + height // 2), height), draw)
    canvas.paste(_ink(draw), (height // 4, (height - words.height) // 2), words)
    return canvas


def line_text(size: tuple[int, int], seed: int) -> str:
    """What the line of this size and seed says: as many words as fit."""
    draw = random.Random(seed)  # noqa: S311 - scenery, not secrets
    width, height = size
    text = ""
    for word in draw.sample(WORDS, len(WORDS)):
        longer = f"{text} {word}".strip()
        if _rendered(longer, _line_points(height)).width + height // 2 <= width:
            text = longer
    return text


def _line_points(height: int) -> float:
    return 0.62 * height


def _paper(size: tuple[int, int], draw: random.Random) -> Image.Image:
    """Light paper, lit from one side."""
    shade = np.linspace(draw.uniform(225, 250), draw.uniform(190, 225), size[0]).round().astype(np.uint8)
    tint = np.array([255, 250, 240], np.uint16)
    row = (shade[:, None].astype(np.uint16) * tint // 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(row, (size[1], size[0], 3)).copy())


def _ink(draw: random.Random) -> tuple[int, int, int]:
    return draw.randrange(90), draw.randrange(90), draw.randrange(90)


def _rendered(text: str, points: float) -> Image.Image:
    """Coverage of the text's own box."""
    font = ImageFont.load_default(points)
    left, top, right, bottom = font.getbbox(text or " ")
    mask = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=font)
    return mask


def _slanted(text: str, points: float, degrees: float) -> Image.Image:
    return _rendered(text, points).rotate(degrees, Image.Resampling.BICUBIC, expand=True)
