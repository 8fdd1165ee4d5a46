"""Looks at a model's tensors: convert with some of them kept, run once on this machine, judge."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from devices.local import LocalDevice
from harness.arm import make_arm
from harness.bisect.cuts import copy_of, opened
from harness.bisect.search import Look
from harness.bundles import Bundle, bundle_for
from harness.cache import Cache
from harness.convert import Format, check_supported, make_artifact
from harness.convert.calibration import DEFAULT_PLAN, Calibration, CalibrationPlan, calibration_for
from harness.convert.supplied import find_supplied
from harness.errors import UnsupportedError
from harness.launch import launch, load_outputs
from harness.models.originals import find_original
from harness.models.prepare import Feed, Prepared, prepare, prepare_feed
from harness.parity import Array, judge, judge_output, resolve
from harness.preparation import Ready
from harness.reference import ONE_ITERATION, ONE_WARMUP, Reference, make_reference
from harness.runtimes import RUNTIMES
from harness.schedule import Effort
from harness.spec import Case, Frozen, Model, OutputParity

Arrays = list[tuple[str, Array]]

ONCE = Effort(name="once", launches=1, pairs=0, pair_s=0.0, warmup=ONE_WARMUP, timing=ONE_ITERATION)


class Bench(Frozen, frozen=True, kw_only=True):
    """A case and all that its looks share; `reference` is what the source's outputs are."""

    case: Case
    model: Model
    prepared: Prepared
    feed: Feed
    reference: Reference
    bundle: Bundle
    calibration: Calibration | None


def make_bench(
    cache: Cache, model: Model, base: Path, case: Case, plan: CalibrationPlan = DEFAULT_PLAN
) -> Bench:
    """Everything but the conversions; raises PocketbenchError for a case that cannot be converted."""
    form = Format.of(case, options=model.options(case.runtime, case.precision))
    check_supported(form)
    if find_supplied(model, form) is not None:
        raise UnsupportedError(
            f"{model.name} in {case.runtime} {case.precision} is a file that the zoo supplies: inner tensors "
            "can be looked at only in what pocketbench converts itself"
        )
    if (original := find_original(model, case.runtime)) is not None:
        raise UnsupportedError(
            f"{model.name} in {case.runtime} is converted from {original.framework}: inner tensors can be "
            "looked at only in what is converted from ONNX"
        )
    prepared = prepare(cache, model, base)
    feed = prepare_feed(cache, model, prepared, base)
    plan = plan.completed(model, case.runtime, base)
    return Bench(
        case=case,
        model=model,
        prepared=prepared,
        feed=feed,
        reference=make_reference(cache, prepared, feed),
        bundle=bundle_for(cache, RUNTIMES[case.runtime], case.runtime_version),
        calibration=calibration_for(cache, model, prepared, case.precision, base, plan),
    )


def look_whole(cache: Cache, bench: Bench) -> Look:
    """The model's own outputs, converted as it always is.

    Raises UnsupportedError (ConversionError with the log) when it cannot be converted or run.
    """
    given = _computed(cache, bench, bench.prepared, bench.reference)
    return Look(judged=_judged_outputs(bench, given))


def look_inside(cache: Cache, bench: Bench, names: Sequence[str]) -> Look:
    """The model's outputs and the tensors `names` of one conversion that keeps these.

    What the converter or the runtime cannot do with it is the look's failure.
    """
    kept = [name for name in names if name not in bench.prepared.outputs]
    try:
        model = opened(cache, bench.prepared, kept)
        reference = make_reference(cache, model, bench.feed)
        given = _computed(cache, bench, model, reference)
    except UnsupportedError as error:
        return Look(kept=tuple(names), failure=str(error))
    limits = resolve(bench.case.precision)
    wanted, found = (
        {name: dict(arrays)[copy_of(name)] for name in kept} for arrays in (reference.arrays(), given)
    )
    inner = {name: judge_output(name, wanted[name], found[name], limits) for name in kept}
    moved = [name for name in kept if wanted[name].shape != found[name].shape]
    if moved:
        return Look(kept=tuple(names), failure=f"it comes out in another layout: {inner[moved[0]].failure}")
    return Look(kept=tuple(names), judged={**_judged_outputs(bench, given), **inner})


def check_freezing(cache: Cache, bench: Bench) -> None:
    """Raise UnsupportedError when the frozen model is already wrong: no runtime can be right then."""
    frozen = make_reference(cache, opened(cache, bench.prepared, ()), bench.feed)
    parity = judge(bench.reference.arrays(), frozen.arrays(), precision="fp32", task=bench.model.task)
    if not parity.ok:
        told = "; ".join(f"{one.name}: {one.failure}" for one in parity.outputs if not one.ok)
        raise UnsupportedError(
            f"{bench.model.name} computes something else once its shapes are fixed and it is simplified, in "
            f"every runtime ({told}). This is a fault of pocketbench's freezing, not of {bench.case.runtime}"
        )


def _judged_outputs(bench: Bench, given: Arrays) -> dict[str, OutputParity]:
    parity = judge(
        bench.reference.arrays(),
        given,
        precision=bench.case.precision,
        task=bench.model.task,
        override=bench.model.parity.get(bench.case.precision),
    )
    return {one.name: one for one in parity.outputs}


def _computed(cache: Cache, bench: Bench, model: Prepared, reference: Reference) -> Arrays:
    """Outputs of `model`, converted for the case and launched once on this machine."""
    options = bench.model.options(bench.case.runtime, bench.case.precision)
    form = Format.of(bench.case, options=options)
    artifact = make_artifact(cache, model, form, bench.calibration)
    ready = Ready(
        case=bench.case,
        model=model,
        feed=bench.feed,
        reference=reference,
        artifact=artifact,
        inputs=model.inputs,
        outputs=reference.outputs,
        bundle=bench.bundle,
    )
    with (
        TemporaryDirectory(prefix="pocketbench-") as scratch,
        LocalDevice("host", str(Path(scratch, "device")), exclusive=False) as host,
    ):
        arm = make_arm(host, ready, ONCE, cache)
        folder = Path(scratch, "outputs")
        done = launch(host, arm.staged, arm.job, outputs=folder)
        if done.result is None:
            raise UnsupportedError(
                f"{bench.case.engine} {bench.case.precision} cannot run {model.name}: {done.reason}"
            )
        return load_outputs(folder, reference.outputs)
