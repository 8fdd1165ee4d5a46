"""Make everything a case needs before anything is measured: model, feed, reference, artifact, bundle."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from devices.base import DeviceError
from devices.process import stop_running
from harness.bundles import Bundle, wheel_bundle
from harness.cache import Cache
from harness.convert import Format, MadeArtifact, check_supported, make_artifact
from harness.errors import PocketbenchError
from harness.interpreters import find_python
from harness.launch import Files
from harness.models.prepare import Feed, Prepared, prepare, prepare_feed
from harness.reference import Reference, make_reference
from harness.runtimes import RUNTIMES
from harness.spec import Case, Frozen, Model


class Ready(Frozen, frozen=True, kw_only=True):
    """A case that can be measured."""

    case: Case
    model: Prepared
    feed: Feed
    reference: Reference
    artifact: MadeArtifact
    bundle: Bundle

    @property
    def artifact_files(self) -> Files:
        """The artifact as the launch stages it."""
        return Files(path=self.artifact.path, digest=self.artifact.digest, names=self.artifact.record.files)


Outcome = Ready | PocketbenchError
"""A case that can be measured, or why it cannot."""


def make_ready(cache: Cache, model: Model, base: Path, case: Case) -> Ready:
    """Everything for `case`; raises PocketbenchError saying what cannot be had."""
    runtime = RUNTIMES[case.runtime]
    check_supported(Format.of(case))
    # Also when everything is cached: what is to be measured has to run.
    find_python(runtime.python)
    bundle = wheel_bundle(cache, runtime, case.runtime_version)
    prepared = prepare(cache, model, base)
    feed = prepare_feed(cache, model, prepared, base)
    return Ready(
        case=case,
        model=prepared,
        feed=feed,
        reference=make_reference(cache, prepared, feed),
        artifact=make_artifact(cache, prepared, Format.of(case)),
        bundle=bundle,
    )


def make_all_ready(
    cache: Cache,
    zoo: Mapping[str, Model],
    base: Path,
    cases: Sequence[Case],
    *,
    report: Callable[[Case, int, int], None],
    workers: int | None = None,
) -> dict[Case, Outcome]:
    """What became of each case; `report(case, done, total)` is called as they come.

    Works on several cases at once: nothing is being measured yet.
    """
    outcomes: dict[Case, Outcome] = {}
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        futures = {
            pool.submit(_outcome, cache, zoo[case.model], base, case): case for case in dict.fromkeys(cases)
        }
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                outcomes[futures[future]] = future.result()
                report(futures[future], done, len(futures))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            # Their threads would otherwise be waited for, however long a converter takes.
            stop_running()
            raise
    return outcomes


def _outcome(cache: Cache, model: Model, base: Path, case: Case) -> Outcome:
    try:
        return make_ready(cache, model, base, case)
    except PocketbenchError as error:
        return error
    except DeviceError as error:  # this machine, on which converters and the reference run
        return PocketbenchError(str(error))
