"""A Paddle original as the rest of the conversion takes it: one file of the program, one of all weights."""

import shutil
from pathlib import Path

from harness.cache import Cache
from harness.models.original_files import PROGRAM, uncombined_weights
from harness.models.originals import PreparedOriginal


def combined(cache: Cache, original: PreparedOriginal) -> Path:
    """Directory of model.pdmodel and model.pdiparams.

    A file for each weight is what the combined file holds of it, so they are laid one after the other, in the
    order of their names: https://github.com/PaddlePaddle/Paddle, python/paddle/static/io.py (save_vars).
    """

    def build(path: Path) -> None:
        files = original.files
        if "paddle" not in files:
            for key in ("pdmodel", "pdiparams"):
                shutil.copyfile(files[key], path / f"model.{key}")
            return
        shutil.copyfile(files["paddle"] / PROGRAM, path / "model.pdmodel")
        with (path / "model.pdiparams").open("wb") as whole:
            for weight in uncombined_weights(files["paddle"]):
                with weight.open("rb") as one:
                    shutil.copyfileobj(one, whole)

    return cache.entry("paddle-models", {"original": original.sha256}, build)
