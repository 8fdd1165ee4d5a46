"""`file:` sources: used where they lie."""

import difflib
from pathlib import Path

from harness.errors import PocketbenchError
from harness.models.forms import Place
from harness.models.sources.folders import chosen_files, link_file, link_files


def find_local(place: Place, base: Path) -> Path:
    """The file or folder of `place`, whose path starts at `base`; PocketbenchError when there is none."""
    path = (base / Path(place.where).expanduser()).absolute()  # tools run in other folders
    if not path.exists():
        near = difflib.get_close_matches(path.name, _names_in(path.parent), n=3, cutoff=0.5)
        hint = f"; near it lie {', '.join(near)}" if near else ""
        raise PocketbenchError(f"source {place.source!r}: there is no file {path}{hint}")
    if path.is_dir():
        chosen_files(path, place)
    elif place.only or place.without:
        raise PocketbenchError(
            f"source {place.source!r}: only= and without= choose files of a folder; {path} is a file"
        )
    return path


def link_local(place: Place, base: Path, target: Path) -> None:
    """Make what `place` means appear as `target`."""
    path = find_local(place, base)
    if path.is_dir():
        link_files(chosen_files(path, place), path, target)
    else:
        link_file(path, target)


def _names_in(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []
