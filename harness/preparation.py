"""Make everything a case needs before anything is measured: model, feed, reference, artifact, bundle."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from devices.base import DeviceError
from devices.process import stop_running
from harness.bundles import Bundle, bundle_for
from harness.cache import Cache
from harness.convert import Format, MadeArtifact, check_supported, make_artifact
from harness.convert.calibration import DEFAULT_PLAN, calibration_for
from harness.convert.matching import Wanted as Tensor
from harness.convert.originals import convert_original, inputs_wanted
from harness.convert.supplied import Supply, find_supplied, nothing_for, supply
from harness.errors import ConversionError, PocketbenchError, UnsupportedError
from harness.launch import Files
from harness.models.artifact_tables import backends_of
from harness.models.originals import find_original
from harness.models.prepare import Feed, Prepared, prepare, prepare_feed
from harness.platforms import HOST, Platform
from harness.reference import Reference, make_reference, make_supplied_reference
from harness.runtimes import RUNTIMES
from harness.spec import Case, Frozen, Model, TensorSpec


class Ready(Frozen, frozen=True, kw_only=True):
    """A case that can be measured.

    `inputs` and `outputs` have the artifact's names and are in the order of the feed and of the reference.
    `model` is the prepared source: None for a model that is nothing but artifacts, which may also lack a
    `reference`.
    """

    case: Case
    model: Prepared | None
    feed: Feed
    reference: Reference | None
    artifact: MadeArtifact
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    bundle: Bundle

    @property
    def artifact_files(self) -> Files:
        """The artifact as the launch stages it."""
        return Files(path=self.artifact.path, digest=self.artifact.digest, names=self.artifact.record.files)


Outcome = Ready | PocketbenchError
"""A case that can be measured, or why it cannot."""


class Wanted(Frozen, frozen=True, kw_only=True):
    """A case and what it is to run on."""

    case: Case
    platform: Platform = HOST


def make_ready(
    cache: Cache,
    model: Model,
    base: Path,
    case: Case,
    platform: Platform = HOST,
    supplied: Sequence[Bundle] = (),
) -> Ready:
    """Everything for `case` on `platform`; raises PocketbenchError saying what cannot be had.

    `supplied` are the user's binary bundles.
    """
    form = Format.of(case, platform, options=model.options(case.runtime, case.precision))
    given = find_supplied(model, form)
    # What a file computes in is its own affair, but for MNN, whose session has to be told.
    if given is None or form.runtime == "mnn":
        check_supported(form)
    original = find_original(model, form.runtime)
    if given is None and original is None and not model.source:
        raise nothing_for(model, form)
    bundle = bundle_for(cache, RUNTIMES[case.runtime], case.runtime_version, platform, supplied)
    prepared = prepare(cache, model, base) if model.source else None
    feed = prepare_feed(cache, model, prepared, base)
    reference = _reference(cache, model, prepared, feed, base)
    inputs, outputs = inputs_wanted(model, prepared), _outputs_wanted(prepared, reference)
    if given is not None:
        made = supply(cache, model, given, form, base, inputs=inputs, outputs=outputs)
    elif original is not None:
        made = convert_original(
            cache,
            model,
            original,
            form,
            base,
            inputs=inputs,
            outputs=outputs,
            tokens=prepared.tokens if prepared else None,
            plan=DEFAULT_PLAN.completed(model, case.runtime, base),
        )
    elif prepared is not None and reference is not None:
        plan = DEFAULT_PLAN.completed(model, case.runtime, base)
        calibration = calibration_for(cache, model, prepared, case.precision, base, plan)
        artifact = make_artifact(cache, prepared, form, calibration)
        made = Supply(artifact=artifact, inputs=prepared.inputs, outputs=reference.outputs)
    return Ready(
        case=case,
        model=prepared,
        feed=feed,
        reference=reference,
        artifact=made.artifact,
        inputs=made.inputs,
        outputs=made.outputs,
        bundle=bundle,
    )


def _reference(
    cache: Cache, model: Model, prepared: Prepared | None, feed: Feed, base: Path
) -> Reference | None:
    """What outputs are judged against: the source, else what the zoo names, else onnxruntime's artifact."""
    if prepared is not None:
        return make_reference(cache, prepared, feed)
    wanted = model.reference or "onnxruntime"
    given = next((one for one in model.artifacts if (one.runtime, one.precision) == (wanted, "fp32")), None)
    original = find_original(model, wanted)
    if given is None and original is None:
        return None
    form = Format(
        runtime=wanted,
        version=RUNTIMES[wanted].default_version,
        precision="fp32",
        backend=backends_of(given)[0] if given else RUNTIMES[wanted].backends[0],
        arch=HOST.processor,
    )
    inputs = inputs_wanted(model, None)
    try:
        if given is not None:
            made = supply(cache, model, given, form, base, inputs=inputs, outputs=None)
        elif original is not None:
            made = convert_original(cache, model, original, form, base, inputs=inputs, outputs=None)
    except UnsupportedError as error:
        # Not these cells' nature: without their reference they are lost, which is not to be passed over.
        raise ConversionError(f"the reference cannot be used: {error}") from error
    origin = "supplied" if given or not original else f"from {original.framework}"
    return make_supplied_reference(cache, model.name, made, form, feed, origin=origin)


def _outputs_wanted(prepared: Prepared | None, reference: Reference | None) -> list[Tensor] | None:
    """The reference's outputs, by their names in the source and in the frozen one; None without reference."""
    if reference is None:
        return None
    if prepared is None:
        return [Tensor.of(tensor) for tensor in reference.outputs]
    pairs = zip(reference.outputs, prepared.original_outputs, strict=True)
    return [Tensor.of(tensor, original) for tensor, original in pairs]


def make_all_ready(
    cache: Cache,
    zoo: Mapping[str, Model],
    base: Path,
    wanted: Sequence[Wanted],
    *,
    supplied: Sequence[Bundle] = (),
    report: Callable[[Case, int, int], None],
    workers: int | None = None,
) -> dict[Wanted, Outcome]:
    """What became of each; `report(case, done, total)` is called as they come.

    Works on several cases at once: nothing is being measured yet.
    """
    outcomes: dict[Wanted, Outcome] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        futures = {
            pool.submit(_outcome, cache, zoo[one.case.model], base, one, supplied): one
            for one in dict.fromkeys(wanted)
        }
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                outcomes[futures[future]] = future.result()
                report(futures[future].case, done, len(futures))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # Their threads would otherwise be waited for, however long a converter takes.
            stop_running()
            raise
    return outcomes


def _outcome(cache: Cache, model: Model, base: Path, wanted: Wanted, supplied: Sequence[Bundle]) -> Outcome:
    try:
        return make_ready(cache, model, base, wanted.case, wanted.platform, supplied)
    except PocketbenchError as error:
        return error
    except DeviceError as error:  # this machine, on which converters and the reference run
        return PocketbenchError(str(error))
