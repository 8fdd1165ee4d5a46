"""The reference: what the host's onnxruntime computes in fp32 from the same feed, cached."""

from pathlib import Path

import msgspec
import numpy as np

from devices.local import LocalDevice
from harness.bundles import Bundle, wheel_bundle
from harness.cache import Cache
from harness.errors import ConversionError, PocketbenchError
from harness.launch import Files, feed_files, launch, load_outputs, runner_tree, stage
from harness.models.prepare import Feed, Prepared
from harness.runtimes import RUNTIMES
from harness.spec import Frozen, Job, LaunchResult, TensorSpec, TimingPlan, WarmupPlan

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
    runtime = RUNTIMES["onnxruntime"]
    version = runtime.default_version
    bundle = wheel_bundle(cache, runtime, version)
    key = {"model": model.shaped_sha256, "feed": feed.digest, "bundle": bundle.digest}

    def build(path: Path) -> None:
        with LocalDevice("host", str(path), exclusive=False) as host:
            done = _run_once(host, cache, bundle, model, feed, path / "outputs")
        if done.result is None:
            told = f"the reference (onnxruntime {version}, fp32) cannot run {model.name}: {done.reason}"
            if done.status == "timeout" or done.signal == "SIGKILL":
                # A slow or full machine's fault, not the model's: not remembered.
                raise PocketbenchError(told)
            raise ConversionError(told, done.stderr_tail)
        (path / "outputs.json").write_bytes(msgspec.json.encode(done.result.outputs))

    path = cache.entry("references", key, build)
    described = msgspec.json.decode((path / "outputs.json").read_bytes(), type=tuple[TensorSpec, ...])
    return Reference(
        path=path / "outputs",
        label=f"onnxruntime@{version} fp32",
        outputs=tuple(
            msgspec.structs.replace(spec, name=name)
            for spec, name in zip(described, model.outputs, strict=True)
        ),
    )


def _run_once(
    host: LocalDevice, cache: Cache, bundle: Bundle, model: Prepared, feed: Feed, outputs: Path
) -> LaunchResult:
    runtime = RUNTIMES[bundle.info.runtime]
    renamed = zip(model.inputs, model.original_inputs, strict=True)
    staged = stage(
        host,
        runner=runner_tree(cache),
        bundle=bundle,
        artifact=Files(
            path=model.shaped.parent, digest=model.shaped_sha256, names={"onnx": model.shaped.name}
        ),
        feed=feed_files(feed),
        inputs=[msgspec.structs.replace(tensor, name=name) for tensor, name in renamed],
        environment=runtime.variables(1),
    )
    job = Job(
        runtime=runtime.name,
        backend="cpu",
        precision="fp32",
        threads=1,
        files=staged.files,
        inputs=staged.inputs,
        outputs=tuple(TensorSpec(name=name, shape=()) for name in model.original_outputs),
        warmup=ONE_WARMUP,
        timing=ONE_ITERATION,
    )
    return launch(host, staged, job, outputs=outputs)
