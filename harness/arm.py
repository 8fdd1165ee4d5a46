"""A case on a device, ready to be launched: where everything is staged, and the job."""

from devices.base import Device, Progress
from harness.cache import Cache
from harness.launch import Staged, feed_files, runner_tree, stage
from harness.preparation import Ready
from harness.runtimes import RUNTIMES
from harness.schedule import Effort
from harness.spec import Frozen, Job


class Arm(Frozen, frozen=True, kw_only=True):
    """Where a case is staged on a device, and what its runner is told.

    `python` is the command that starts Python with our runner package in sight; a binary bundle has none.
    """

    staged: Staged
    job: Job
    python: tuple[str, ...] | None = None


def make_arm(
    device: Device, ready: Ready, effort: Effort, cache: Cache, *, progress: Progress | None = None
) -> Arm:
    """Stage `ready` on `device`; raises DeviceError when it cannot be brought there."""
    case, runtime = ready.case, RUNTIMES[ready.case.runtime]
    staged = stage(
        device,
        runner=runner_tree(cache),
        bundle=ready.bundle,
        artifact=ready.artifact_files,
        feed=feed_files(ready.feed),
        inputs=ready.inputs,
        environment=runtime.variables(case.threads),
        progress=progress,
    )
    job = Job(
        runtime=case.runtime,
        backend=case.backend,
        precision=case.precision,
        threads=case.threads,
        files=staged.files,
        inputs=staged.inputs,
        outputs=ready.outputs,
        warmup=effort.warmup,
        timing=effort.timing,
        options=ready.artifact.job_options,
    )
    # A bundle of packages ends its entry with `-m runner`.
    python = staged.command[:-2] if ready.bundle.has_packages else None
    return Arm(staged=staged, job=job, python=python)
