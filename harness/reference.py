"""The reference: what the host computes in fp32 from the same feed, cached.

It is onnxruntime on the model's source, or, where there is none, an artifact that was supplied or converted
from what another framework wrote.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from devices.local import LocalDevice
from harness.bundles import Bundle, wheel_bundle
from harness.cache import Cache
from harness.convert import Format
from harness.convert.supplied import Supply
from harness.errors import ConversionError, PocketbenchError
from harness.launch import Files, feed_files, launch, load_outputs, runner_tree, stage
from harness.models.prepare import Feed, Prepared
from harness.runtimes import RUNTIMES
from harness.spec import Frozen, Job, LaunchResult, TensorSpec, TimingPlan, WarmupPlan
from harness.toolchains import is_full

ONE_WARMUP = WarmupPlan(max_iterations=1, max_s=0.0)
ONE_ITERATION = TimingPlan(min_iterations=1, target_s=0.0)


class Reference(Frozen, frozen=True, kw_only=True):
    """Output arrays on disk; `outputs` have the names of the converted model, in the graph's order."""

    path: Path
    label: str
    outputs: tuple[TensorSpec, ...]

    def arrays(self) -> list[tuple[str, np.ndarray]]:
        """Name and array of each output."""
        return load_outputs(self.path, self.outputs)


def make_reference(cache: Cache, model: Prepared, feed: Feed) -> Reference:
    """Run the shaped source model once; raises ConversionError when the reference cannot run it."""
    bundle = wheel_bundle(cache, RUNTIMES["onnxruntime"], RUNTIMES["onnxruntime"].default_version)
    renamed = zip(model.inputs, model.original_inputs, strict=True)
    once = _Once(
        model=model.name,
        bundle=bundle,
        backend="cpu",
        artifact=Files(
            path=model.shaped.parent, digest=model.shaped_sha256, names={"onnx": model.shaped.name}
        ),
        inputs=tuple(msgspec.structs.replace(tensor, name=name) for tensor, name in renamed),
        outputs=tuple(TensorSpec(name=name, shape=()) for name in model.original_outputs),
    )
    key = {"model": model.shaped_sha256, "feed": feed.digest, "bundle": bundle.digest}
    return _reference(cache, key, once, feed, model.outputs, label=f"{once.engine} fp32")


def make_supplied_reference(
    cache: Cache, model: str, supply: Supply, form: Format, feed: Feed, *, origin: str
) -> Reference:
    """Run an artifact of `model` that is none of its source, made for `form`, once on the host.

    `origin` is where it came from, for people. Its outputs keep the file's names. Raises ConversionError when
    the artifact cannot be run.
    """
    bundle = wheel_bundle(cache, RUNTIMES[form.runtime], form.version)
    made = supply.artifact
    once = _Once(
        model=model,
        bundle=bundle,
        backend=form.backend,
        artifact=Files(path=made.path, digest=made.digest, names=made.record.files),
        inputs=supply.inputs,
        outputs=supply.outputs,
        options=made.job_options,
    )
    key = {
        "supplied": made.digest,
        "inputs": once.inputs,
        "outputs": once.outputs,
        "feed": feed.digest,
        "bundle": bundle.digest,
    }
    names = [tensor.name for tensor in supply.outputs]
    return _reference(cache, key, once, feed, names, label=f"{once.engine} fp32, {origin}")


class _Once(Frozen, frozen=True, kw_only=True):
    """What is run to get a reference, and in what."""

    model: str
    bundle: Bundle
    backend: str
    artifact: Files
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    options: dict[str, Any] = {}

    @property
    def engine(self) -> str:
        return f"{self.bundle.info.runtime}@{self.bundle.info.version}"


def _reference(
    cache: Cache, key: dict[str, Any], once: _Once, feed: Feed, names: Sequence[str], *, label: str
) -> Reference:
    def build(path: Path) -> None:
        with LocalDevice("host", str(path), exclusive=False) as host:
            done = _run_once(host, cache, once, feed, path / "outputs")
        if done.result is None:
            told = f"the reference ({label}) cannot run {once.model}: {done.reason}"
            if done.status == "timeout" or done.signal == "SIGKILL":
                # A slow or full machine's fault, not the model's: not remembered.
                raise PocketbenchError(told)
            if is_full(path, done.stderr_tail):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            raise ConversionError(told, done.stderr_tail)
        (path / "outputs.json").write_bytes(msgspec.json.encode(done.result.outputs))

    path = cache.entry("references", key, build)
    described = msgspec.json.decode((path / "outputs.json").read_bytes(), type=tuple[TensorSpec, ...])
    return Reference(
        path=path / "outputs",
        label=label,
        outputs=tuple(
            msgspec.structs.replace(spec, name=name) for spec, name in zip(described, names, strict=True)
        ),
    )


def _run_once(host: LocalDevice, cache: Cache, once: _Once, feed: Feed, outputs: Path) -> LaunchResult:
    runtime = RUNTIMES[once.bundle.info.runtime]
    staged = stage(
        host,
        runner=runner_tree(cache),
        bundle=once.bundle,
        artifact=once.artifact,
        feed=feed_files(feed),
        inputs=once.inputs,
        environment=runtime.variables(1),
    )
    job = Job(
        runtime=runtime.name,
        backend=once.backend,
        precision="fp32",
        threads=1,
        files=staged.files,
        inputs=staged.inputs,
        outputs=once.outputs,
        warmup=ONE_WARMUP,
        timing=ONE_ITERATION,
        options=once.options,
    )
    return launch(host, staged, job, outputs=outputs)
