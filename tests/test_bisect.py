"""Why is a model wrong: the search on graphs of all forms, the command on a network with one bad layer."""

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bisect import bench as bench_module
from harness.bisect import diagnose, look_whole, make_bench
from harness.bisect.conclusion import conclude
from harness.bisect.graph import Graph, Tensor, Weight
from harness.bisect.search import CUTS, MOST_SKIPPED, Look, Search, spread
from harness.cache import Cache, file_sha256
from harness.environments import environment
from harness.errors import ConversionError
from harness.matrix import Filters, build_cases
from harness.models.zoo import load_zoo
from harness.spec import OutputParity
from harness.toolchains import ONNX

RIGHT, WRONG = 1e-4, 0.9


def judged(name, error, *, limit=0.1):
    """As parity judges a tensor that is off by `error` of its largest value; None for NaN."""
    if error is None:
        return OutputParity(name=name, ok=False, failure="3 NaN of 16 values where the reference is finite")
    return OutputParity(
        name=name,
        ok=error <= limit,
        failure="" if error <= limit else f"max_rel {error:.3g} > {limit:g}",
        max_rel=error,
        cosine=1 - error**2 / 2,
        snr_db=-20 * float(np.log10(error)),
    )


def chain(length):
    """x -> t0 -> t1 -> ..., the last of which is the model's output."""
    names = ["x", *(f"t{number}" for number in range(length))]
    return Graph(
        tuple(
            Tensor(name=name, operator="Conv", node=f"conv_{name}", inputs=(before,))
            for before, name in pairwise(names)
        )
    )


class Converter:
    """Stands for conversions of `graph`, whose last tensor is the output; `error(name, kept)` is each's."""

    def __init__(self, graph, error, refused=()):
        self.output = graph.tensors[-1].name
        self.error = error
        self.refused = set(refused)
        self.asked = []

    def look(self, names):
        self.asked.append(tuple(names))
        if self.refused.intersection(names):
            return Look(kept=tuple(names), failure="pnnx crashed: SIGSEGV")
        return self._judged(names)

    def first(self):
        return self._judged(())

    def _judged(self, names):
        seen = dict.fromkeys([self.output, *names])
        return Look(kept=tuple(names), judged={n: judged(n, self.error(n, names)) for n in seen})


def searched(graph, error, refused=()):
    converter = Converter(graph, error, refused)
    finding = Search(graph, converter.first(), converter.look).run()
    return finding, converter


def after(graph, faulty, wrong=WRONG):
    """An error that begins at `faulty` and stays in everything that is computed from it."""
    return lambda name, _kept: wrong if name == faulty or faulty in graph.origins(name) else RIGHT


@st.composite
def graphs(draw):
    """A graph in which everything leads to the last tensor, and one of its tensors."""
    length = draw(st.integers(1, 30))
    tensors = []
    for number in range(length):
        known = ["x", *(f"t{one}" for one in range(number))]
        inputs = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        tensors.append(Tensor(name=f"t{number}", operator="Add", node=f"n{number}", inputs=tuple(inputs)))
    every = tuple(tensor.name for tensor in tensors)
    tensors.append(Tensor(name="y", operator="Sum", node="sum", inputs=every))
    return Graph(tuple(tensors)), draw(st.sampled_from([*every, "y"]))


@settings(deadline=None)
@given(graphs())
def test_the_faulty_operator_is_found_in_every_graph(drawn):
    graph, faulty = drawn
    finding, converter = searched(graph, after(graph, faulty))
    assert (finding.kind, finding.tensors) == ("operator", (faulty,))
    assert finding.looks == len(converter.asked)


@settings(deadline=None)
@given(graphs(), st.data())
def test_tensors_that_cannot_be_kept_are_told_and_never_blamed(drawn, data):
    graph, faulty = drawn
    refused = data.draw(st.sets(st.sampled_from([tensor.name for tensor in graph.tensors[:-1]])))
    finding, _ = searched(graph, after(graph, faulty), refused)
    (blamed,) = finding.tensors
    assert blamed not in finding.skipped
    assert finding.skipped.keys() <= refused
    if finding.kind == "unreached":
        assert len(finding.skipped) > MOST_SKIPPED
        assert faulty == blamed or faulty in graph.origins(blamed)
    elif blamed != faulty:
        # What is blamed follows the faulty one through nothing but tensors that nobody could see.
        assert any(one in refused for one in graph[blamed].inputs)
        assert "Its fault may lie before it" in conclude(graph, finding)


def test_a_converter_that_can_keep_nothing_is_soon_given_up():
    graph = chain(600)
    finding, converter = searched(
        graph, after(graph, "t5"), refused=[tensor.name for tensor in graph.tensors[:-1]]
    )
    assert (finding.kind, finding.tensors) == ("unreached", ("t599",))
    assert len(converter.asked) < 40
    assert "Too many tensors cannot be kept" in conclude(graph, finding)


def test_six_hundred_operators_take_six_conversions():
    graph = chain(600)
    for faulty in ("t0", "t1", "t299", "t598", "t599"):
        finding, converter = searched(graph, after(graph, faulty))
        assert finding.tensors == (faulty,)
        assert len(converter.asked) <= 6
        assert max(map(len, converter.asked)) <= CUTS


def test_an_error_that_heals_on_one_path_is_found_on_the_other():
    # b hides what is wrong with its input, as a Relu of nothing but negative values does.
    graph = Graph(
        (
            Tensor(name="a", operator="Conv", node="a", inputs=("x",)),
            Tensor(name="b", operator="Relu", node="b", inputs=("a",)),
            Tensor(name="c", operator="Neg", node="c", inputs=("b", "a")),
        )
    )
    finding, _ = searched(graph, lambda name, _kept: RIGHT if name == "b" else WRONG)
    assert (finding.kind, finding.tensors) == ("operator", ("a",))


def test_nan_is_wrong_and_quoted():
    graph = chain(9)
    finding, _ = searched(graph, after(graph, "t4", wrong=None))
    assert finding.tensors == ("t4",)
    assert "its output `t4` is wrong (3 NaN of 16 values where the reference is finite)" in conclude(
        graph, finding
    )


def test_an_operator_is_told_with_its_inputs_its_figures_and_its_weights():
    plain = chain(3)
    weighed = Tensor(
        name="t1",
        operator="Conv",
        node="features.3",
        inputs=("t0",),
        weights=(Weight("w", (24, 96, 3, 3), 2.4e-4), Weight("axes", (1,), None)),
    )
    graph = Graph((plain.tensors[0], weighed, plain.tensors[2]))
    finding, _ = searched(graph, after(graph, "t1", wrong=0.14))
    assert conclude(graph, finding) == (
        "Conv `features.3` is the first that is wrong: its input `t0` is off by 0.0001 (cosine 1), its "
        "output `t1` is off by 0.14 (cosine 0.9902). Its weights: 24x96x3x3 of at most 0.00024."
    )


def test_an_error_that_grows_blames_no_operator():
    graph = chain(40)
    finding, _ = searched(graph, lambda name, _kept: 0.004 * (int(name[1:]) + 1))
    assert (finding.kind, finding.tensors) == ("growth", ("t25",))
    told = conclude(graph, finding)
    assert told.startswith("No operator is wrong alone: the error grows on the way")
    assert "max_rel 0.104 > 0.1" in told


def test_an_exact_operator_that_takes_away_the_signal_is_not_blamed():
    graph = chain(2)
    figures = {
        "t0": OutputParity(name="t0", ok=True, max_rel=0.14, cosine=0.992, snr_db=17.8),
        "t1": OutputParity(name="t1", ok=False, failure="cosine", max_rel=0.16, cosine=0.963, snr_db=11.4),
    }

    def look(names):
        return Look(kept=tuple(names), judged={name: figures[name] for name in ("t1", *names)})

    assert Search(graph, look(()), look).run().kind == "growth"


@pytest.mark.parametrize("culprit", ["t0", "t7", "t18"])
def test_an_error_that_is_gone_when_a_tensor_is_kept_comes_from_a_fusion(culprit):
    graph = chain(20)
    finding, _ = searched(
        graph, lambda name, kept: RIGHT if culprit in kept or name != graph.tensors[-1].name else WRONG
    )
    following = f"t{int(culprit[1:]) + 1}"
    if culprit in finding.tensors:
        assert finding.tensors == (culprit,)
        assert (
            f"it comes from a fusion between Conv `conv_{culprit}` and Conv `conv_{following}`"
            in conclude(graph, finding)
        )
    else:
        # The search passed it by: only the last operator is wrong then, and that is what is said.
        assert finding.tensors == (graph.tensors[-1].name,)


def test_an_output_at_the_limit_is_no_fusion():
    graph = chain(20)
    finding, _ = searched(graph, lambda name, kept: 0.099 if kept or name != "t19" else 0.101)
    assert finding.kind == "border"
    assert "the error is at the limit" in conclude(graph, finding)


def test_cuts_are_spread_evenly_and_none_is_at_an_end():
    assert spread("abcdefghi", 2) == ["d", "g"]
    assert spread("ab", 4) == ["a", "b"]
    assert spread("", 4) == []


NETWORK = """
<ir_version: 8, opset_import: ["" : 13]>
net (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y)
<float thousand = {1000.0}> {
    first = Conv <pads = [1, 1, 1, 1]> (x, ordinary)
    positive = Relu (first)
    large = Mul (positive, thousand)
    lost = Conv <pads = [1, 1, 1, 1]> (large, outlying)
    bounded = Tanh (lost)
    y = Conv <pads = [1, 1, 1, 1]> (bounded, ordinary)
}
"""
"""`outlying` holds one large weight, which meets a channel of zeros, among weights of 1e-5: half floats below
2^-14 are zero for pnnx, and the layer is not lifted because of the large one.
"""

MAKE = """
import sys, numpy as np, onnx
model = onnx.parser.parse_model(sys.argv[2])
for name, array in np.load(sys.argv[3]).items():
    model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
onnx.save(model, sys.argv[1])
"""

ZOO = """
[models.tiny]
source = "file:tiny.onnx"
sha256 = "{}"
feed = "arrays"
feed_source = "file:feed.npz"
feed_sha256 = "{}"
inputs = [{{ name = "x", shape = [1, 4, 8, 8] }}]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a zoo of the network, and a cache that holds the user's environments and bundles."""
    root = tmp_path_factory.mktemp("bisect")
    for kind in ("environments", "bundles"):
        shared = Cache().root / kind
        shared.mkdir(parents=True, exist_ok=True)
        (root / "cache").mkdir(exist_ok=True)
        (root / "cache" / kind).symlink_to(shared)
    generator = np.random.default_rng(5)
    ordinary = generator.normal(size=(4, 4, 3, 3)).astype(np.float32) / 4
    outlying = generator.normal(size=(4, 4, 3, 3)).astype(np.float32) * np.float32(1e-5)
    # The last channel that it sees is one of zeros.
    ordinary[3] = 0.0
    outlying[:, 3] = 0.5
    np.savez(root / "weights.npz", ordinary=ordinary, outlying=outlying)
    np.savez(root / "feed.npz", x=generator.normal(size=(1, 4, 8, 8)).astype(np.float32))
    tools = environment(Cache(), ONNX)
    command = tools.command("-c", MAKE, str(root / "tiny.onnx"), NETWORK, str(root / "weights.npz"))
    subprocess.run(command, env=tools.variables(), check=True)
    (root / "zoo.toml").write_text(ZOO.format(*(file_sha256(root / n) for n in ("tiny.onnx", "feed.npz"))))
    return root


@pytest.fixture(scope="module")
def parity(place):
    """The command as it is typed, in that folder."""
    command = [sys.executable, "-c", "from harness.cli import main; main()", "parity", "--zoo", "zoo.toml"]

    def run(*arguments):
        return subprocess.run(
            [*command, *arguments],
            cwd=place,
            env={**os.environ, "POCKETBENCH_CACHE": str(place / "cache")},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


def test_the_layer_that_a_conversion_gets_wrong_is_named(parity):
    done = parity("--bisect", "tiny", "--runtime", "ncnn", "--precision", "fp16")
    assert done.returncode == 1, done.stderr
    conclusion = done.stdout.splitlines()[-1]
    assert "Conv `Conv_1` is the first that is wrong: its input `large` is off by 0.0" in conclusion
    assert "its output `lost` is off by 1 (cosine 0). Its weights: 4x4x3x3 of at most 0.5" in conclusion
    assert "bisecting tiny in ncnn" in done.stderr


def test_a_model_that_is_right_needs_no_search(parity):
    done = parity("--bisect", "tiny", "--runtime", "ncnn", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert "nothing leaves tolerance: y: max_rel" in done.stdout
    assert "cosine 1" in done.stdout


@pytest.mark.parametrize(
    ("runtime", "precision", "told"),
    [
        ("ncnn", "w4", "ncnn has no w4. Its 4-bit weights"),
        ("ncnm", "fp32", "unknown runtime 'ncnm'. Did you mean ncnn?"),
        ("ncnn", "fp61", "unknown precision 'fp61'. Did you mean"),
    ],
)
def test_a_cell_that_there_is_not_is_said_in_one_line(parity, runtime, precision, told):
    done = parity("--bisect", "tiny", "--runtime", runtime, "--precision", precision)
    assert done.returncode == 2
    assert f"pocketbench: {told}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_there_is_not_is_said_in_one_line(parity):
    done = parity("--bisect", "tinny", "--runtime", "mnn", "--precision", "fp32")
    assert done.returncode == 2
    assert "pocketbench: unknown model 'tinny'. Did you mean tiny?" in done.stderr


def test_a_cut_that_cannot_be_converted_is_passed_over_and_told(place, monkeypatch):
    cache, models = Cache(place / "cache"), load_zoo(place / "zoo.toml")
    wanted = Filters(models=("tiny",), runtimes=("ncnn",), precisions=("fp16",))
    bench = make_bench(cache, models["tiny"], place, build_cases(models, wanted)[0])
    convert = bench_module.make_artifact

    def crashing(cache, model, form, calibration):
        if "positive__kept" in model.outputs:
            raise ConversionError("pnnx crashed: SIGSEGV. out of memory")
        return convert(cache, model, form, calibration)

    monkeypatch.setattr(bench_module, "make_artifact", crashing)
    found = diagnose(cache, bench, look_whole(cache, bench), lambda _done, _total: None)

    assert found.finding.tensors == ("lost",)
    assert found.finding.skipped.keys() == {"positive"}
    told = "Not looked at, because it cannot be kept: `positive` (pnnx crashed: SIGSEGV. out of memory)."
    assert found.text.endswith(told)
