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
from harness.errors import PocketbenchError
from harness.launch import Files
from harness.models.prepare import Feed, Prepared, prepare, prepare_feed
from harness.platforms import HOST, Platform
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
    form = Format.of(case, platform)
    check_supported(form)
    bundle = bundle_for(cache, RUNTIMES[case.runtime], case.runtime_version, platform, supplied)
    prepared = prepare(cache, model, base)
    feed = prepare_feed(cache, model, prepared, base)
    return Ready(
        case=case,
        model=prepared,
        feed=feed,
        reference=make_reference(cache, prepared, feed),
        artifact=make_artifact(cache, prepared, form),
        bundle=bundle,
    )


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
