"""Make artifacts: a prepared model, converted for one runtime and precision, cached by what made it."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from harness.cache import Cache, digest_of, file_sha256
from harness.convert import mnn, ncnn, onnxruntime, paddlelite
from harness.convert.base import Converter, Format, Request
from harness.convert.calibration import CALIBRATED, Calibration, chosen_method
from harness.errors import UnsupportedError
from harness.models.prepare import Prepared
from harness.runtimes import RUNTIMES
from harness.spec import Artifact, Frozen

__all__ = ["CONVERTERS", "Format", "MadeArtifact", "artifact_key", "check_supported", "make_artifact"]

CONVERTERS: Mapping[str, Converter] = {
    "onnxruntime": onnxruntime.CONVERTER,
    "mnn": mnn.CONVERTER,
    "ncnn": ncnn.CONVERTER,
    "paddlelite": paddlelite.CONVERTER,
}

SCHEMA = 1


class MadeArtifact(Frozen, frozen=True, kw_only=True):
    """An artifact on the host: its record, where it lies, and what the runner must be told."""

    path: Path
    record: Artifact
    job_options: dict[str, Any]

    @property
    def digest(self) -> str:
        """Content hash of all its files."""
        return digest_of(self.record.sha256)


class _Manifest(Frozen, frozen=True, kw_only=True):
    record: Artifact
    job_options: dict[str, Any]


def check_supported(form: Format) -> None:
    """Raise UnsupportedError when the runtime has no such precision or backend, or not for this processor."""
    known = RUNTIMES[form.runtime]
    if form.precision not in known.precisions:
        why = known.lacking.get(form.precision)
        raise UnsupportedError(
            f"{form.runtime} has no {form.precision} here; it has {', '.join(known.precisions)}"
            + (f". {why}" if why else ""),
        )
    if form.backend not in known.backends:
        raise UnsupportedError(
            f"{form.runtime} has no backend {form.backend!r}; it has {', '.join(known.backends)}"
        )
    CONVERTERS[form.runtime].options(form)


def artifact_key(model: Prepared, form: Format, calibration: Calibration | None = None) -> dict[str, Any]:
    """Everything that makes an artifact what it is; its hash is the artifact's name in the cache."""
    check_supported(form)
    converter = CONVERTERS[form.runtime]
    return {
        "model": model.sha256,
        "inputs": model.inputs,
        "converter": converter.name(form.version),
        "options": {**converter.options(form), **_calibrated(form, calibration)},
        "code": file_sha256(Path(inspect.getfile(converter.convert)))[:12],
        "precision": form.precision,
        "backend": form.backend,
        "schema": SCHEMA,
    }


def make_artifact(
    cache: Cache, model: Prepared, form: Format, calibration: Calibration | None = None
) -> MadeArtifact:
    """The artifact, converted when it is not there yet; int8 needs a `calibration`.

    Raises UnsupportedError (ConversionError with the converter's log) when it cannot be made.
    """
    key = artifact_key(model, form, calibration)
    converter = CONVERTERS[form.runtime]

    def build(path: Path) -> None:
        request = Request(
            model=model,
            version=form.version,
            precision=form.precision,
            backend=form.backend,
            arch=form.arch,
            out=path,
            calibration=calibration,
        )
        made = converter.convert(cache, request)
        files = {role: path / name for role, name in made.files.items()}
        record = Artifact(
            key=cache.path("artifacts", key).name,
            converter=converter.name(form.version),
            options={**key["options"], **made.found},
            files=made.files,
            size_bytes=sum(file.stat().st_size for file in files.values()),
            sha256={role: file_sha256(file) for role, file in files.items()},
        )
        manifest = _Manifest(record=record, job_options=made.job_options)
        (path / "artifact.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))

    path = cache.entry("artifacts", key, build)
    manifest = msgspec.json.decode((path / "artifact.json").read_bytes(), type=_Manifest)
    return MadeArtifact(path=path, record=manifest.record, job_options=manifest.job_options)


def _calibrated(form: Format, calibration: Calibration | None) -> dict[str, Any]:
    """What a static quantizer is shown, and by which method it reads it; nothing for other precisions."""
    if form.precision not in CALIBRATED:
        return {}
    method = chosen_method(form.runtime, CONVERTERS[form.runtime].methods, calibration)
    samples = {"samples": len(calibration.files), "of": calibration.digest} if calibration else {}
    return {"calibration": {"method": method, **samples}}
