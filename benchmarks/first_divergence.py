"""Where does a converted model leave the reference? Prints every tensor's distance in the graph's order.

    uv run python benchmarks/first_divergence.py ppocr_det --runtime mnn --precision w8

Inner tensors are made outputs, the model is converted again, and each tensor is compared with what
onnxruntime computes in fp32 from the same feed. The last lines compare the model's own outputs with and
without the added ones: a converter fuses less where it must show a tensor, and a fault may hide in what
it then no longer fuses.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from unittest.mock import patch

import msgspec
import numpy as np

from devices.local import LocalDevice
from harness.bundles import wheel_bundle
from harness.cache import Cache, file_sha256
from harness.convert import CONVERTERS, Format, check_supported
from harness.convert.base import Request
from harness.environments import environment
from harness.errors import PocketbenchError, UnsupportedError
from harness.launch import Files, feed_files, launch, load_outputs, runner_tree, stage
from harness.models.prepare import Feed, Prepared, prepare, prepare_feed
from harness.models.zoo import load_zoo
from harness.parity import LIMITS, judge_output
from harness.runtimes import RUNTIMES
from harness.spec import PRECISIONS, Job, OutputParity, Precision, TensorSpec, TimingPlan, WarmupPlan
from harness.toolchains import ONNX, run_tool

ROOT = Path(__file__).parent.parent
EXPOSE = Path(__file__).with_name("expose_tensors.py")
WEIGHTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
"""Operators whose results are shown by default: those between two of them are usually fused into one."""

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Named = list[tuple[str, Array]]


def engine_of(runtime: str, precision: Precision, backend: str = "cpu") -> Format:
    """A runtime at its default version in one of its precisions."""
    version = RUNTIMES[runtime].default_version
    return Format(runtime=runtime, version=version, precision=precision, backend=backend)


REFERENCE = engine_of("onnxruntime", "fp32")


def main() -> None:
    """Print the table that the arguments ask for."""
    arguments = parsed()
    cache = Cache()
    zoo = ROOT / "suites" / "zoo.toml"
    entry = load_zoo(zoo)[arguments.model]
    model = prepare(cache, entry, zoo.parent)
    feed = prepare_feed(cache, entry, model, zoo.parent)
    engine = engine_of(arguments.runtime, arguments.precision, arguments.backend)
    check_supported(engine)
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(prefix="pocketbench-"))
        if arguments.as_is:
            module = f"harness.convert.{engine.runtime}.rewritten"
            stack.enter_context(patch(module, lambda _cache, _script, model, *_: model, create=True))
        operators = () if arguments.all else arguments.operators.split(",")
        opened, exposed = expose(cache, model, Path(scratch, "opened.onnx"), operators)
        wanted = computed(cache, REFERENCE, opened, feed)
        given = dict(computed(cache, engine, opened, feed, shapes=wanted))
        alone = dict(computed(cache, engine, model, feed, shapes=wanted[: len(model.outputs)]))
    references = dict(wanted)
    print(f"{'#':>4} {'operator':<18} {'shape':<16} {'max |ref|':>10} {'max_rel':>9} {'cosine':>9}  tensor")
    for number, (name, operator) in enumerate(exposed):
        print(row(number, operator, name, references[name], given[name], engine.precision))
    for name in model.outputs:
        print(row(None, "(unopened)", name, references[name], alone[name], engine.precision))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="a model of suites/zoo.toml")
    parser.add_argument("--runtime", required=True, choices=sorted(RUNTIMES))
    parser.add_argument("--precision", required=True, choices=PRECISIONS)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--operators", default=",".join(WEIGHTED), help="results to show (%(default)s)")
    parser.add_argument("--all", action="store_true", help="show the result of every operator")
    parser.add_argument("--as-is", action="store_true", help="without the project's rewritings")
    return parser.parse_args()


def expose(
    cache: Cache, model: Prepared, target: Path, operators: Sequence[str]
) -> tuple[Prepared, list[tuple[str, str]]]:
    """`model` with inner tensors as outputs, and each of these with its operator in the graph's order."""
    tools = environment(cache, ONNX)
    printed = run_tool(
        "exposing tensors",
        tools.command(str(EXPOSE), str(model.frozen), str(target), *operators),
        cwd=target.parent,
        env=tools.variables(),
    )
    told = json.loads(printed)
    opened = msgspec.structs.replace(
        model, frozen=target, sha256=file_sha256(target), outputs=tuple(told["outputs"])
    )
    return opened, [(name, operator) for name, operator in told["exposed"]]


def computed(
    cache: Cache, engine: Format, model: Prepared, feed: Feed, *, shapes: Named | None = None
) -> Named:
    """Outputs of `model`, converted for `engine` and launched once on this machine.

    `shapes` are arrays of the shapes to be expected, for engines without a batch dimension.
    """
    runtime = RUNTIMES[engine.runtime]
    with (
        TemporaryDirectory(prefix="pocketbench-") as scratch,
        LocalDevice("host", scratch, exclusive=False) as host,
    ):
        made = Path(scratch, "artifact")
        made.mkdir()
        request = Request(
            model=model,
            version=engine.version,
            precision=engine.precision,
            backend=engine.backend,
            out=made,
        )
        converted = CONVERTERS[engine.runtime].convert(cache, request)
        digest = file_sha256(made / next(iter(converted.files.values())))
        staged = stage(
            host,
            runner=runner_tree(cache),
            bundle=wheel_bundle(cache, runtime, runtime.default_version),
            artifact=Files(path=made, digest=digest, names=converted.files),
            feed=feed_files(feed),
            inputs=model.inputs,
            environment=runtime.variables(1),
        )
        known = {name: array.shape for name, array in shapes or ()}
        outputs = tuple(TensorSpec(name=name, shape=known.get(name, ())) for name in model.outputs)
        job = Job(
            runtime=engine.runtime,
            backend=engine.backend,
            precision=engine.precision,
            threads=1,
            files=staged.files,
            inputs=staged.inputs,
            outputs=outputs,
            warmup=WarmupPlan(max_iterations=1, max_s=0.0),
            timing=TimingPlan(min_iterations=1, target_s=0.0),
            options=converted.job_options,
        )
        done = launch(host, staged, job, outputs=Path(scratch, "outputs"))
        if done.result is None:
            raise UnsupportedError(f"{engine.runtime} cannot run {model.name}: {done.reason}")
        return load_outputs(Path(scratch, "outputs"), outputs)


def row(
    number: int | None, operator: str, name: str, wanted: Array, given: Array, precision: Precision
) -> str:
    """One line of the table; `!` marks a tensor outside the precision's limits."""
    judged: OutputParity = judge_output(name, wanted, given, LIMITS[precision])
    shape = "x".join(map(str, wanted.shape))
    scale = float(np.abs(wanted.astype(np.float64)).max(initial=0.0))
    label = "" if number is None else str(number)
    figures = "".join(f" {told(judged, figure):>9}" for figure in ("max_rel", "cosine"))
    mark = " " if judged.ok else "!"
    hard = judged.failure if judged.cosine is None else ""
    return f"{label:>4} {operator:<18} {shape:<16} {scale:>10.4g}{figures} {mark}{name} {hard}".rstrip()


def told(judged: OutputParity, figure: Literal["max_rel", "cosine"]) -> str:
    """A figure for people."""
    value = getattr(judged, figure)
    return "-" if value is None else f"{value:.5g}"


if __name__ == "__main__":
    try:
        main()
    except PocketbenchError as error:
        sys.exit(f"{error}")
