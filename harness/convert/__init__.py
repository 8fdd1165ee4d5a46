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
from harness.models.originals import PreparedOriginal
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

ONNX_ONLY = ("opset", "rewritten", "x2paddle")
"""Options of what is done to the ONNX before a converter gets it."""


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
        # The reason comes first: a table shows only how a message begins.
        raise UnsupportedError(
            f"{form.runtime} has no {form.precision}. "
            + (f"{why}. " if why else "")
            + f"Here it has {', '.join(known.precisions)}",
        )
    if form.backend not in known.backends:
        raise UnsupportedError(
            f"{form.runtime} has no backend {form.backend!r}; it has {', '.join(known.backends)}"
        )
    CONVERTERS[form.runtime].options(form)


def artifact_key(
    model: Prepared | PreparedOriginal, form: Format, calibration: Calibration | None = None
) -> dict[str, Any]:
    """Everything that makes an artifact what it is; its hash is the artifact's name in the cache."""
    check_supported(form)
    converter = CONVERTERS[form.runtime]
    name, options = converter.name, converter.options(form)
    code = Path(inspect.getfile(converter.convert))
    codes = [code]
    if isinstance(model, PreparedOriginal):
        codes.append(code.with_stem(f"{code.stem}_original"))
        name = converter.original_name or name
        options = {**_without_rewritings(options), "original": _told(model)}
    return {
        "model": model.sha256,
        "inputs": model.inputs,
        "converter": name(form.version),
        "options": {**options, **_asked(form), **_calibrated(form, calibration)},
        "code": "".join(file_sha256(file)[:12] for file in codes),
        "precision": form.precision,
        "backend": form.backend,
        "schema": SCHEMA,
    }


def make_artifact(
    cache: Cache,
    model: Prepared | PreparedOriginal,
    form: Format,
    calibration: Calibration | None = None,
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
            options=form.options,
        )
        made = converter.convert(cache, request)
        files = {role: path / name for role, name in made.files.items()}
        record = Artifact(
            key=cache.path("artifacts", key).name,
            converter=key["converter"],
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


def _without_rewritings(options: dict[str, Any]) -> dict[str, Any]:
    """The options that hold for any framework's file: scripts of ours rewrite ONNX and nothing else."""
    return {name: value for name, value in options.items() if name not in ONNX_ONLY}


def _told(original: PreparedOriginal) -> dict[str, Any]:
    """What is converted in place of the ONNX, with the names in it where a converter is told of them."""
    names = {"order": original.order, "outputs": original.outputs} if original.order else {}
    return {
        "framework": original.framework,
        "sha256": original.hashes,
        **names,
        "rewritten": "no: only ONNX is",
    }


def _asked(form: Format) -> dict[str, Any]:
    """The options that are not the runtime's defaults, so that the record shows them at a glance."""
    asked = form.options.asked if form.options else {}
    return {"asked": asked} if asked else {}


def _calibrated(form: Format, calibration: Calibration | None) -> dict[str, Any]:
    """What a static quantizer is shown, and by which method it reads it; nothing for other precisions."""
    if form.precision not in CALIBRATED:
        return {}
    converter = CONVERTERS[form.runtime]
    method = chosen_method(form.runtime, converter.methods, calibration)
    _check_options_apply(form, method)
    samples = {"samples": len(calibration.files), "of": calibration.digest} if calibration else {}
    return {"calibration": {"method": method, **converter.tools(method), **samples}}


def _check_options_apply(form: Format, method: str) -> None:
    """Raise UnsupportedError for options that the calibration method knows nothing of."""
    asked = form.options.asked if form.options else {}
    lost = [
        name for name in asked if method == "dynamic" or (name == "percentile" and method != "percentile")
    ]
    if lost:
        raise UnsupportedError(
            f"{form.runtime} {form.precision}: {', '.join(lost)} has no effect with the "
            f"calibration method {method!r}: ask for another method, or leave it out"
        )
