"""Stage what a case needs on a device, run one runner process, bring back what it measured."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from devices.base import CommandTimeoutError, Completed, Device, NotBroughtBackError, Progress
from harness.bundles import Bundle
from harness.cache import Cache, tree_sha256
from harness.models.prepare import Feed
from harness.spec import SCHEMA, Frozen, Job, JobInput, LaunchResult, RunnerResult, Status, TensorSpec

RUNNER = Path(__file__).parent / "runner"
TAIL_BYTES = 4000
REFUSED = 3
"""Exit code of a runner that found the job or the artifact wrong and says why on stderr."""


class Staged(Frozen, frozen=True, kw_only=True):
    """Where a case's files lie on the device, and how its runner is started there."""

    command: tuple[str, ...]
    environment: dict[str, str]
    files: dict[str, str]
    inputs: tuple[JobInput, ...]


class Files(Frozen, frozen=True, kw_only=True):
    """A directory on the host, its content hash, and the names in it that matter, by role or order."""

    path: Path
    digest: str
    names: dict[str, str]


def feed_files(feed: Feed) -> Files:
    """A model's feed as the launch stages it: files by the position of their input."""
    names = {str(index): name for index, name in enumerate(feed.files)}
    return Files(path=feed.path, digest=feed.digest, names=names)


def runner_tree(cache: Cache) -> Files:
    """A snapshot of the runner's source, so that what was pushed is what is recorded."""
    digest = tree_sha256(RUNNER, RUNNER.rglob("*.py"))

    def build(path: Path) -> None:
        shutil.copytree(RUNNER, path / "runner", ignore=shutil.ignore_patterns("__pycache__"))

    return Files(path=cache.entry("runner", {"sha256": digest}, build), digest=digest, names={})


def stage(
    device: Device,
    *,
    runner: Files,
    bundle: Bundle,
    artifact: Files,
    feed: Files,
    inputs: Sequence[TensorSpec],
    environment: Mapping[str, str],
    progress: Progress | None = None,
) -> Staged:
    """Make runner, bundle, artifact and feed present on `device`; what it has is not sent again.

    A bundle that brings its own runner gets none of ours. What a bundle sets wins over `environment`.
    """
    contents = [(bundle.path, bundle.digest), *((one.path, one.digest) for one in (artifact, feed))]
    if bundle.has_packages:
        contents.append((runner.path, runner.digest))
    bundle_path, artifact_path, feed_path, *others = device.stage_all(contents, progress=progress)
    paths = {"PYTHONPATH": f"{others[0]}:{bundle_path}/site"} if others else {}
    return Staged(
        command=bundle.command(bundle_path),
        environment={**paths, **environment, **bundle.variables(bundle_path)},
        files={role: f"{artifact_path}/{name}" for role, name in artifact.names.items()},
        inputs=tuple(
            JobInput(
                name=tensor.name,
                shape=tensor.shape,
                dtype=tensor.dtype,
                file=f"{feed_path}/{feed.names[str(index)]}",
            )
            for index, tensor in enumerate(inputs)
        ),
    )


def launch(
    device: Device,
    staged: Staged,
    job: Job,
    *,
    index: int = 0,
    timeout_s: float = 180.0,
    outputs: Path | None = None,
) -> LaunchResult:
    """Run `job` once in a process of its own.

    Whatever the runner does is a result, also its death; DeviceError is raised only when the device
    cannot be reached or written. With `outputs`, the output arrays are brought back into that directory.
    """
    with TemporaryDirectory(prefix="pocketbench-") as scratch:
        back = Path(scratch, "back")
        try:
            done = device.work(
                [*staged.command, "job.json"],
                texts={"job.json": msgspec.json.encode(job).decode()},
                env=staged.environment,
                local=back,
                timeout_s=timeout_s,
            )
        except CommandTimeoutError as error:
            return LaunchResult(
                index=index,
                status="timeout",
                reason=f"did not end within {timeout_s:.0f} s and was killed with its children",
                stage=_stage(back),
                wall_s=timeout_s,
                stderr_tail=_tail(error.stderr),
            )
        except NotBroughtBackError as error:
            return _result(error.completed, back, None, index=index, lost=str(error))
        return _result(done, back, outputs, index=index)


class _Versioned(msgspec.Struct, frozen=True):
    schema: int


def load_outputs(folder: Path, specs: Sequence[TensorSpec]) -> list[tuple[str, np.ndarray]]:
    """Output arrays brought back by `launch`, by name, in the job's order."""
    return [
        (spec.name, np.load(folder / f"{index}.npy", allow_pickle=False)) for index, spec in enumerate(specs)
    ]


def _result(done: Completed, back: Path, outputs: Path | None, *, index: int, lost: str = "") -> LaunchResult:
    """What the runner left in `back`; `lost` says why that is not there."""
    result: RunnerResult | None = None
    status, reason = _ending(done)
    stage = _stage(back)
    if status == "measured" and lost:
        status, reason = (
            "failed",
            f"the runner ended well, but what it wrote could not be brought back: {lost}",
        )
    elif status == "measured":
        try:
            result = _decoded((back / "result.json").read_bytes())
        except FileNotFoundError:
            status, reason = "failed", "the runner ended well without writing result.json"
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            status, reason = "failed", f"the runner wrote a result that cannot be read: {error}"
    elif status == "crashed" and stage:
        reason = f"{done.signal} during {stage}. {last_words(done.stderr)}".strip()
    if result is not None and outputs is not None:
        try:
            shutil.move(back / "outputs", outputs)
        except OSError as error:
            result, status = None, "failed"
            reason = f"the outputs the runner wrote could not be brought back: {error}"
    return LaunchResult(
        index=index,
        status=status,
        reason=reason,
        exit_code=done.exit_code,
        signal=done.signal,
        stage="done" if status == "measured" else stage,
        wall_s=done.seconds,
        stderr_tail="" if result is not None else _tail(done.stderr or done.stdout),
        result=result,
    )


def _decoded(written: bytes) -> RunnerResult:
    schema = msgspec.json.decode(written, type=_Versioned).schema
    if schema != SCHEMA:
        raise msgspec.ValidationError(
            f"it has schema {schema}, this pocketbench reads {SCHEMA}: runner and pocketbench must match"
        )
    return msgspec.json.decode(written, type=RunnerResult)


def _ending(done: Completed) -> tuple[Status, str]:
    if done.signal:
        return "crashed", f"{done.signal}. {last_words(done.stderr)}"
    if done.exit_code == REFUSED:
        return "failed", last_words(done.stderr)
    if done.exit_code != 0:
        return "failed", f"exit code {done.exit_code}: {last_words(done.stderr)}"
    return "measured", ""


def _stage(back: Path) -> str | None:
    """What the runner was doing when it ended."""
    try:
        return (back / "stage").read_text(errors="replace").strip()[:40] or None
    except OSError:
        return None


def _tail(printed: bytes) -> str:
    return printed[-TAIL_BYTES:].decode(errors="replace")


def last_words(printed: bytes) -> str:
    """The line a person would quote: the last that names an error, else the last."""
    lines = [line.strip() for line in _tail(printed).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("runner:") or "rror" in line or "[F " in line]
    return (telling or lines or ["it printed nothing"])[-1].removeprefix("runner: ")[:400]
