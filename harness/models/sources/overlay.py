"""`overlay:` sources: one folder out of several places; of files with one name the later place's wins."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import PocketbenchError
from harness.models.forms import Place
from harness.models.sources.folders import files_in


def lay(places: Sequence[Place], target: Path, bring: Callable[[Place, Path], None]) -> None:
    """Lay what `bring(place, path)` gives for each of `places` into the folder `target`, one over the other.

    A place that is one file is laid under its own name. Raises PocketbenchError when a file of one place is a
    folder of another.
    """
    target.mkdir()
    for number, place in enumerate(places):
        layer = target.with_name(f".{number}")
        layer.mkdir()
        content = layer / place.name
        bring(place, content)
        top = content if content.is_dir() else layer
        for path in files_in(top):
            _put(place, path, target / path.relative_to(top))
        shutil.rmtree(layer)


def _put(place: Place, path: Path, over: Path) -> None:
    try:
        over.parent.mkdir(parents=True, exist_ok=True)
        path.replace(over)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise PocketbenchError(
            f"source {place.source!r} cannot be laid over the places before it: {path.name} is a file in one "
            "and a folder in another"
        ) from error
