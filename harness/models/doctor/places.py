"""What lies at a path: a model folder, files of a runtime, or a folder around them that was meant."""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from harness.errors import PocketbenchError
from harness.models.doctor.files import check_hub_blobs
from harness.models.doctor.findings import Finding, error, listed, note, warning
from harness.spec import Frozen

HUGGING_FACE: Final = "Hugging Face folder"
TENSORS: Final = "weights file"
NOTHING: Final = "no model"

FORMS: Final = {
    ".onnx": "ONNX",
    ".mnn": "MNN",
    ".param": "ncnn",
    ".nb": "Paddle-Lite",
    ".pdmodel": "Paddle",
    ".tflite": "TensorFlow Lite",
    ".gguf": "GGUF",
    ".safetensors": TENSORS,
}
"""What one file is, by its suffix; `.bin` is decided by its neighbours."""

WEIGHTS: Final = (
    *("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model*.bin.index.json"),
    *("tf_model.h5", "flax_model.msgpack"),
)
FOLDER_FILES: Final = (
    *("config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
    *("vocab.txt", "preprocessor_config.json"),
)
REPOSITORY: Final = "models--"
"""How the hub's cache calls a repository: models--ORGANISATION--NAME/snapshots/REVISION."""


class Place(Frozen, frozen=True, kw_only=True):
    """A model to look at, of a form, and what was found on the way there."""

    path: Path
    form: str
    findings: tuple[Finding, ...] = ()


def places_at(path: Path) -> tuple[Place, ...]:
    """The models at `path`, a file or a folder; at least one place, which may hold no model.

    Raises PocketbenchError when there is nothing at `path`.
    """
    if path.is_dir():
        return _in_folder(path)
    if path.is_file() or path.is_symlink():
        return (Place(path=path, form=_form_of(path)),)
    near = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    hint = f"; in {path.parent} lie {listed(near, 8)}" if near else ""
    raise PocketbenchError(f"there is no {path}{hint}")


def _in_folder(path: Path) -> tuple[Place, ...]:
    if not os.access(path, os.R_OK | os.X_OK):
        told = "is a folder that this user may not look into"
        found = error("files", "unreadable", path.name, told, f"`chmod u+rx {path}`")
        return (Place(path=path, form=NOTHING, findings=(found,)),)
    if (path / "snapshots").is_dir() and (path.name.startswith(REPOSITORY) or (path / "blobs").is_dir()):
        return _in_hub_repository(path)
    here = tuple(_models_in(path))
    if here:
        return here
    inside = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and _holds_model(folder)]
    if len(inside) == 1:
        entered = note(
            "files", "parent-folder", inside[0].name, f"the model lies in {inside[0].name}/, looked there"
        )
        return tuple(_after((entered,), place) for place in _in_folder(inside[0]))
    if inside:
        told = f"holds {len(inside)} models, each in a folder of its own: {listed([p.name for p in inside])}"
        found = error("files", "several-models", path.name, told, "name the one that is meant")
    else:
        files = [p.name for p in sorted(path.iterdir())]
        told = f"holds no file of a model: {listed(files) or 'it is empty'}"
        found = error(
            "files", "no-model", path.name, told, "is it the right folder, and was the download finished?"
        )
    return (Place(path=path, form=NOTHING, findings=(found,)),)


def _models_in(path: Path) -> Iterator[Place]:
    names = [p.name for p in sorted(path.iterdir()) if not p.is_dir()]
    files = [path / name for name in names if Path(name).suffix in FORMS]
    runtime_files = [file for file in files if FORMS[file.suffix] != TENSORS]
    if _any(names, WEIGHTS) or (not runtime_files and _any([name.lower() for name in names], FOLDER_FILES)):
        yield Place(path=path, form=HUGGING_FACE)
    for file in runtime_files:
        yield Place(path=file, form=FORMS[file.suffix])
    if not runtime_files:
        for file in (path / name for name in names if name.endswith(".pdiparams")):
            yield Place(path=file, form="Paddle")


def _in_hub_repository(path: Path) -> tuple[Place, ...]:
    """The snapshot that `main` names, or the only one."""
    left = tuple(check_hub_blobs(path / "blobs"))
    snapshots = sorted(folder for folder in (path / "snapshots").iterdir() if folder.is_dir())
    main = path / "refs" / "main"
    revision = main.read_text().strip() if main.is_file() else ""
    chosen = next((folder for folder in snapshots if folder.name == revision), None)
    if chosen is None and len(snapshots) == 1:
        (chosen,) = snapshots
        if revision:
            told = f"names revision {revision}, which is not there; looked at {chosen.name}"
            left += (warning("files", "no-revision", "refs/main", told, "`hf download REPO` fetches it"),)
    if chosen is None:
        names = listed([folder.name for folder in snapshots]) or "none"
        found = error(
            "files",
            "no-snapshot",
            "snapshots",
            f"none is the one of refs/main ({revision or 'missing'}); there are: {names}",
            "`hf download REPO`, or name a folder under snapshots/",
        )
        return (Place(path=path, form=NOTHING, findings=(*left, found)),)
    entered = note(
        "files", "hub-cache", path.name, f"a repository of the hub's cache, looked at {chosen.name}"
    )
    return tuple(_after((*left, entered), place) for place in _in_folder(chosen))


def _after(found: tuple[Finding, ...], place: Place) -> Place:
    """`place`, with what was found on the way to it."""
    return Place(path=place.path, form=place.form, findings=(*found, *place.findings))


def _holds_model(folder: Path) -> bool:
    return folder.name.startswith(REPOSITORY) or any(True for _ in _models_in(folder))


def _form_of(path: Path) -> str:
    if path.suffix == ".bin":
        return "ncnn" if path.with_suffix(".param").is_file() else TENSORS
    if path.suffix == ".pdiparams":
        return "Paddle"
    return FORMS.get(path.suffix, NOTHING)


def _any(names: list[str], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
