"""A case on a device, ready to be launched: where everything is staged, and the job."""

from devices.base import Device
from harness.cache import Cache
from harness.interpreters import find_python
from harness.launch import Staged, feed_files, runner_tree, stage
from harness.preparation import Ready
from harness.runtimes import RUNTIMES
from harness.schedule import Effort
from harness.spec import Frozen, Job


class Arm(Frozen, frozen=True, kw_only=True):
    """Where a case is staged on a device, and what its runner is told."""

    staged: Staged
    job: Job


def make_arm(device: Device, ready: Ready, effort: Effort, cache: Cache) -> Arm:
    """Stage `ready` on `device`; raises DeviceError when it cannot be brought there."""
    case, runtime = ready.case, RUNTIMES[ready.case.runtime]
    staged = stage(
        device,
        runner=runner_tree(cache),
        bundle=ready.bundle,
        python=str(find_python(ready.bundle.info.python or runtime.python)),
        artifact=ready.artifact_files,
        feed=feed_files(ready.feed),
        inputs=ready.model.inputs,
        environment=runtime.variables(case.threads),
    )
    job = Job(
        runtime=case.runtime,
        backend=case.backend,
        precision=case.precision,
        threads=case.threads,
        files=staged.files,
        inputs=staged.inputs,
        outputs=ready.reference.outputs,
        warmup=effort.warmup,
        timing=effort.timing,
        options=ready.artifact.job_options,
    )
    return Arm(staged=staged, job=job)
