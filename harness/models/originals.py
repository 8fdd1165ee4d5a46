"""The files of an original, fetched and checked, as converters take them."""

from pathlib import Path

from harness.cache import Cache, digest_of
from harness.errors import ConversionError, PocketbenchError
from harness.models.original_files import check_original
from harness.models.sources import content_sha256, fetch
from harness.models.sources.folders import check_no_pointers
from harness.spec import Frozen, Model, Original, TensorSpec


class PreparedOriginal(Frozen, frozen=True, kw_only=True):
    """A network as another framework keeps it; Prepared is what the ONNX becomes.

    `hashes` are those of `files`, `sha256` is one over them. `inputs` have the file's names and are in the
    order of the model's, whose names are `original_inputs`; `order` are the same names as the file orders
    them. `outputs` are the file's, in the order of the reference's, or none where the file's own order is
    meant. All of these are empty as long as nobody has looked.
    """

    name: str
    framework: str
    files: dict[str, Path]
    hashes: dict[str, str]
    sha256: str
    inputs: tuple[TensorSpec, ...] = ()
    order: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    original_inputs: tuple[str, ...] = ()
    tokens: Path | None = None
    """As in Prepared."""


def find_original(model: Model, runtime: str) -> Original | None:
    """What `model` is converted from for `runtime` in place of its source, if it is."""
    return next((one for one in model.originals if one.runtime == runtime), None)


def prepare_original(cache: Cache, model: Model, original: Original, base: Path) -> PreparedOriginal:
    """The files of `original`, whole as far as can be told; `file:` sources are relative to `base`.

    Raises PocketbenchError when one is missing or another than the zoo says, ConversionError when it is not
    what its key calls it.
    """
    where = f"model {model.name}, {told(original)}"
    try:
        files = {
            key: _fetched(cache, pinned.source, pinned.sha256, base) for key, pinned in original.files.items()
        }
        check_original(files)
    except ConversionError as error:
        raise ConversionError(f"{where}: {error}", error.log) from error
    except PocketbenchError as error:
        raise PocketbenchError(f"{where}: {error}") from error
    hashes = {key: content_sha256(path) for key, path in files.items()}
    return PreparedOriginal(
        name=model.name,
        framework=original.framework,
        files=files,
        hashes=hashes,
        sha256=digest_of({"framework": original.framework, "files": hashes}),
        outputs=original.outputs,
    )


def told(original: Original) -> str:
    """What it is and where it lies, for messages."""
    sources = ", ".join(pinned.source for pinned in original.files.values())
    return f"{original.runtime} from {original.framework} ({sources})"


def _fetched(cache: Cache, source: str, sha256: str | None, base: Path) -> Path:
    local = base / Path(source.removeprefix("file:")).expanduser()
    if source.startswith("file:") and local.exists():
        # Before the hash is compared: a pointer has another, and that would say nothing.
        check_no_pointers(source, local)
        sha256 = sha256 or content_sha256(local)
    path = fetch(cache, source, sha256, base=base)
    if path.is_dir() and not any(path.iterdir()):
        raise PocketbenchError(f"{path.name} is an empty folder")
    return path
