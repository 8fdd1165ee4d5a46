"""Recorded inputs: an .npz file with one array per input, for models no synthetic feed suits."""

import zipfile
from pathlib import Path

import numpy as np

from harness.errors import PocketbenchError
from harness.models.feeds import Feed
from harness.spec import Model


def arrays(model: Model, photo: Path | None, seed: int) -> Feed:
    """The arrays of an .npz file (`numpy.savez(path, NAME=array, ...)`), by input name.

    The file holds one feed, so every seed gives the same. Raises PocketbenchError when it cannot be read.
    """
    del seed
    try:
        with np.load(str(photo), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise PocketbenchError(
            f"model {model.name}: feed {photo} is not an .npz file of plain arrays: {error}"
        ) from error
