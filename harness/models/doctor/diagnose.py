"""From a path to its diagnoses: what lies there, and the check for that."""

from pathlib import Path

from harness.cache import Cache
from harness.models.doctor.files import broken
from harness.models.doctor.findings import Diagnosis, Examined, Finding, error
from harness.models.doctor.formats import CHECKS
from harness.models.doctor.hugging_face import check_folder, check_tensor_file
from harness.models.doctor.onnx_file import check_onnx
from harness.models.doctor.places import FORMS, HUGGING_FACE, NOTHING, TENSORS, Place, places_at
from harness.models.doctor.transformers import TRANSFORMERS, parse_version
from harness.models.doctor.uses import use_of


def diagnose(
    path: Path, *, transformers: str = TRANSFORMERS, cache: Cache | None = None
) -> tuple[Diagnosis, ...]:
    """Examine the models at `path`, a folder or a file, one diagnosis each.

    `transformers` is the version that a Hugging Face folder is judged for; `cache` keeps the tools that read
    ONNX. What is wrong with a model is a Finding. Raises PocketbenchError when there is nothing at `path`, or
    the version is none.
    """
    parse_version(transformers)
    return tuple(_examined(place, transformers, cache or Cache()) for place in places_at(path))


def _examined(place: Place, transformers: str, cache: Cache) -> Diagnosis:
    findings, steps = list(place.findings), _check(place, transformers, cache)
    summary = place.form
    while True:
        try:
            findings.append(next(steps))
        except StopIteration as ended:
            summary = ended.value
            break
    kinds = {finding.kind for finding in findings}
    if not any(finding.severity == "error" for finding in findings):
        findings.append(use_of(place.path, place.form, alone="external-data" not in kinds))
    return Diagnosis(path=place.path, form=place.form, summary=summary, findings=tuple(findings))


def _check(place: Place, transformers: str, cache: Cache) -> Examined[str]:
    if place.form == HUGGING_FACE:
        return (yield from check_folder(place.path, transformers))
    if place.form == NOTHING:
        if not place.findings:
            yield _no_model(place.path)
        return NOTHING
    # ncnn's and Paddle's weights may rightly be empty, which their checks know.
    found = broken(place.path, place.path.name)
    if found is not None and not (found.kind == "empty" and place.path.suffix in {".bin", ".pdiparams"}):
        yield found
        return f"{place.form}, not readable"
    if place.form == TENSORS:
        return (yield from check_tensor_file(place.path))
    if place.form == "ONNX":
        return (yield from check_onnx(place.path, cache))
    return (yield from CHECKS[place.form](place.path))


def _no_model(path: Path) -> Finding:
    told = f"is no kind of file that is known here: {', '.join(sorted(FORMS))}, .bin, .pdiparams or a folder"
    return error("files", "no-model", path.name, told, "name the model's folder or its main file")
