"""What a static quantizer is shown: samples of the model's inputs, and the method that reads ranges off them.

One interface for every runtime. Samples are other feeds of the model's own kind, never the one that is
measured, or a folder of the user's: `.npz` files with one array for each input, by its name in the zoo
(`numpy.savez("sample-01.npz", NAME=array, ...)`).
"""

import inspect
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from harness.cache import Cache, file_sha256, tree_sha256
from harness.errors import PocketbenchError, UnknownNameError, UnsupportedError
from harness.models import feeds
from harness.models.originals import PreparedOriginal
from harness.models.prepare import Prepared
from harness.models.sources import fetch
from harness.spec import Frozen, Model, Precision
from harness.spec.conversion import METHODS, MOST_SAMPLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

CALIBRATED: Final[frozenset[Precision]] = frozenset({"int8"})
"""Precisions whose ranges are read off samples."""

Sample = Mapping[str, "NDArray[Any]"]


DEFAULT_COUNT: Final = 16


class CalibrationPlan(Frozen, frozen=True, kw_only=True):
    """What is asked for: how many samples, by which method (None: the runtime's own default), from where.

    Without a `folder` they are feeds of the model's own kind.
    """

    count: int | None = None
    method: str | None = None
    folder: Path | None = None

    def completed(self, model: Model, runtime: str, base: Path) -> Self:
        """The same, and where nothing is asked for what the zoo, which lies in `base`, says of `model`."""
        said = model.calibration
        return type(self)(
            count=said.count if self.count is None else self.count,
            method=self.method or said.method_for(runtime),
            folder=self.folder or (base / said.folder if said.folder else None),
        )


DEFAULT_PLAN: Final = CalibrationPlan()


class Calibration(Frozen, frozen=True, kw_only=True):
    """Samples on disk: `.npz` files with one array for each input of the frozen model, by its name there."""

    path: Path
    files: tuple[str, ...]
    digest: str
    method: str | None = None

    @property
    def samples(self) -> list[Path]:
        """The files, in order."""
        return [self.path / name for name in self.files]


def check_asked(plan: CalibrationPlan, precisions: Collection[Precision]) -> None:
    """Raise before anything is converted what is wrong with `plan` for every one of `precisions`.

    UnknownNameError for a method that no runtime has, PocketbenchError for a count that makes no sense and
    when nothing is to be calibrated.
    """
    _check(plan)
    if plan != DEFAULT_PLAN and not CALIBRATED & set(precisions):
        raise PocketbenchError(
            f"the --calibration options are for {', '.join(sorted(CALIBRATED))}, and asked for is "
            f"{', '.join(dict.fromkeys(precisions))}: leave them out, or add --precision int8"
        )


def _check(plan: CalibrationPlan) -> None:
    if plan.method is not None and plan.method not in METHODS:
        raise UnknownNameError("calibration method", plan.method, METHODS)
    if plan.count is not None and not 1 <= plan.count <= MOST_SAMPLES:
        raise PocketbenchError(f"calibration takes 1 to {MOST_SAMPLES} samples, not {plan.count}")


def calibrate(
    cache: Cache,
    model: Model,
    prepared: Prepared | PreparedOriginal,
    base: Path,
    plan: CalibrationPlan = DEFAULT_PLAN,
) -> Calibration:
    """The samples that `plan` asks for, checked, as files; made when they are not there yet.

    Raises PocketbenchError for a folder without samples, or for a sample that is not what the model takes;
    UnsupportedError when the model's feed has but one form and no folder is given.
    """
    _check(plan)
    count = DEFAULT_COUNT if plan.count is None else plan.count
    if plan.method == "dynamic":
        return Calibration(path=base, files=(), digest="", method=plan.method)
    if plan.folder is None:
        key, samples = _of_feed(cache, model, prepared, base, count)
    else:
        key, samples = _of_folder(model, plan.folder, count)

    def build(path: Path) -> None:
        renamed = dict(zip(prepared.original_inputs, (t.name for t in prepared.inputs), strict=True))
        for number, sample in enumerate(samples()):
            arrays: dict[str, Any] = {renamed[name]: array for name, array in sample.items()}
            np.savez(path / f"{number:04}.npz", **arrays)

    named = {}
    if isinstance(prepared, PreparedOriginal):
        # The same samples, by the names of another file.
        named = {"names": [tensor.name for tensor in prepared.inputs]}
    path = cache.entry("calibrations", {**key, **named, "order": prepared.original_inputs}, build)
    files = sorted(path.glob("*.npz"))
    return Calibration(
        path=path,
        files=tuple(file.name for file in files),
        digest=path.name,
        method=plan.method,
    )


def calibration_for(
    cache: Cache,
    model: Model,
    prepared: Prepared | PreparedOriginal,
    precision: Precision,
    base: Path,
    plan: CalibrationPlan = DEFAULT_PLAN,
) -> Calibration | None:
    """As `calibrate`, for the precisions that need it; None for the others."""
    return calibrate(cache, model, prepared, base, plan) if precision in CALIBRATED else None


def chosen_method(runtime: str, known: Iterable[str], calibration: Calibration | None) -> str:
    """The method in force for `runtime`, whose first known one is its default.

    Raises UnsupportedError without samples, or when the runtime does not have the method asked for.
    """
    known = list(known)
    if calibration is None:
        raise UnsupportedError(f"{runtime} int8 is static: it needs calibration samples, and none were given")
    method = calibration.method or known[0]
    if method not in known:
        raise UnsupportedError(
            f"{runtime} has no calibration method {method!r} here; it has {', '.join(known)}"
        )
    return method


def _of_feed(
    cache: Cache, model: Model, prepared: Prepared | PreparedOriginal, base: Path, count: int
) -> tuple[dict[str, Any], Callable[[], Iterable[Sample]]]:
    """Key of, and maker of `count` feeds of the model's kind, other than the measured one."""
    code = Path(inspect.getfile(feeds)).parent
    key = {
        "feed": model.feed,
        "inputs": model.inputs,
        "source": model.feed_sha256,
        "tokens": file_sha256(prepared.tokens) if prepared.tokens else None,
        "count": count,
        "code": tree_sha256(code, (p for p in code.iterdir() if p.suffix in {".py", ".npy"})),
    }

    def samples() -> Iterable[Sample]:
        source = prepared.tokens
        if model.feed_source is not None:
            source = fetch(cache, model.feed_source, model.feed_sha256 or "", base=base)
        measured = feeds.make_feed(model, source)
        for seed in range(1, count + 1):
            sample = feeds.make_feed(model, source, seed=seed)
            if all(np.array_equal(sample[name], measured[name]) for name in measured):
                raise UnsupportedError(
                    f"model {model.name}: the feed {model.feed!r} has one form only: the measured one, "
                    "which must not be calibrated on: give a folder of samples"
                )
            yield sample

    return key, samples


def _of_folder(
    model: Model, folder: Path, count: int
) -> tuple[dict[str, Any], Callable[[], Iterable[Sample]]]:
    """Key and reader of the first `count` samples in the user's folder, by name."""
    where = f"calibration folder {folder}"
    if not folder.is_dir():
        raise PocketbenchError(f"{where}: there is no such folder")
    files = sorted(folder.glob("*.npz"))[:count]
    if not files:
        raise PocketbenchError(
            f"{where}: it holds no .npz file. Save samples of what {model.name} is given there, with "
            f'numpy.savez("sample-01.npz", {model.inputs[0].name}=array)'
        )
    key = {"folder": tree_sha256(folder, files), "inputs": model.inputs}
    return key, lambda: (_read(model, file) for file in files)


def _read(model: Model, file: Path) -> Sample:
    """One sample; raises PocketbenchError when it is not what the model takes."""
    where = f"calibration sample {file}"
    if not zipfile.is_zipfile(file):
        raise PocketbenchError(
            f"{where} is not an .npz file: numpy.savez writes these as archives, and this is none, or cut off"
        )
    try:
        with np.load(file, allow_pickle=False) as stored:
            sample = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        # numpy's advice for objects is to read them, which may run anything.
        why = "it holds Python objects, which are not read" if "allow_pickle" in str(error) else error
        raise PocketbenchError(f"{where} is not an .npz file of plain arrays: {why}") from error
    wanted = {tensor.name: tensor for tensor in model.inputs}
    if sample.keys() != wanted.keys():
        raise PocketbenchError(
            f"{where} has {', '.join(sample) or 'nothing'}, but {model.name} takes {', '.join(wanted)}"
        )
    for name, tensor in wanted.items():
        array = sample[name]
        found, right = _described(array.dtype.name, array.shape), _described(tensor.dtype, tensor.shape)
        if found != right:
            raise PocketbenchError(f"{where}: {name} is {found}, but {model.name} takes {right}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise PocketbenchError(f"{where}: {name} holds values that are not finite")
    return sample


def _described(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} {'x'.join(map(str, shape)) or 'scalar'}"
