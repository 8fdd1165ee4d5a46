"""Networks of a few nodes for the tests of converters: written as text, converted and run for real."""

import subprocess

import msgspec
import numpy as np
import pytest

from devices.local import LocalDevice
from harness.bundles import wheel_bundle
from harness.cache import Cache, file_sha256
from harness.convert import Format, make_artifact
from harness.environments import environment
from harness.launch import Files, feed_files, launch, load_outputs, runner_tree, stage
from harness.models.prepare import Feed, Prepared
from harness.runtimes import RUNTIMES
from harness.spec import Job, TensorSpec, TimingPlan, WarmupPlan
from harness.toolchains import ONNX

PARSE = "import sys, onnx; onnx.save(onnx.parser.parse_model(sys.stdin.read()), sys.argv[1])"

# Adds the weights in an .npz to a model as its initializers, which then are no inputs.
WEIGH = """
import sys, numpy as np, onnx
model = onnx.load(sys.argv[1])
for name, array in np.load(sys.argv[2]).items():
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
onnx.save(model, sys.argv[1])
"""


def form(runtime, precision="fp32"):
    return Format(runtime=runtime, version=RUNTIMES[runtime].default_version, precision=precision)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of its own, with the environments that the user's has."""
    shared = Cache().root / "environments"
    shared.mkdir(parents=True, exist_ok=True)
    root = tmp_path_factory.mktemp("cache")
    (root / "environments").symlink_to(shared)
    return Cache(root)


@pytest.fixture(scope="module")
def network(cache, tmp_path_factory):
    """Makes a prepared model of ONNX text; constants of scalars and lists are written in it."""

    def make(text, inputs, *, opset=12, weights=None, outputs=("y",)):
        path = tmp_path_factory.mktemp("model") / "frozen.onnx"
        tools = environment(cache, ONNX)
        head = f'<ir_version: 8, opset_import: ["" : {opset}]>'

        def script(code, *argv, printed=None):
            command = tools.command("-c", code, *map(str, argv))
            subprocess.run(command, env=tools.variables(), input=printed, text=True, check=True)

        script(PARSE, path, printed=head + text)
        if weights:
            np.savez(path.with_suffix(".npz"), **weights)
            script(WEIGH, path, path.with_suffix(".npz"))
        names = tuple(inputs)
        return Prepared(
            name="tiny",
            frozen=path,
            shaped=path,
            sha256=file_sha256(path),
            shaped_sha256=file_sha256(path),
            inputs=tuple(TensorSpec(name=name, shape=shape) for name, shape in inputs.items()),
            outputs=outputs,
            original_inputs=names,
            original_outputs=outputs,
        )

    return make


@pytest.fixture(scope="module")
def computed(cache, tmp_path_factory):
    """Converts a model, launches the runner once, here or on another device, and gives the first output."""

    def compute(model, runtime, precision="fp32", shape=(), calibration=None, place=None, backend="cpu"):
        wanted = msgspec.structs.replace(form(runtime, precision), backend=backend)
        made = make_artifact(cache, model, wanted, calibration)
        folder = tmp_path_factory.mktemp("launch")
        generator = np.random.default_rng(0)
        for index, tensor in enumerate(model.inputs):
            np.save(folder / f"{index}.npy", generator.normal(size=tensor.shape).astype(np.float32))
        files = tuple(f"{index}.npy" for index in range(len(model.inputs)))
        feed = Feed(path=folder, files=files, digest=model.sha256)
        outputs = (TensorSpec(name="y", shape=shape),)
        known = RUNTIMES[runtime]
        with place or LocalDevice("host", str(folder / "device"), exclusive=False) as device:
            staged = stage(
                device,
                runner=runner_tree(cache),
                bundle=wheel_bundle(Cache(), known, known.default_version),
                artifact=Files(path=made.path, digest=made.digest, names=made.record.files),
                feed=feed_files(feed),
                inputs=model.inputs,
                environment=known.variables(1),
            )
            job = Job(
                runtime=runtime,
                backend=backend,
                precision=precision,
                threads=1,
                files=staged.files,
                inputs=staged.inputs,
                outputs=outputs,
                warmup=WarmupPlan(max_iterations=1, max_s=0.0),
                timing=TimingPlan(min_iterations=1, target_s=0.0),
                options=made.job_options,
            )
            done = launch(device, staged, job, outputs=folder / "outputs")
        assert done.result is not None, done.reason
        return load_outputs(folder / "outputs", outputs)[0][1]

    return compute
