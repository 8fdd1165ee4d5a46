"""ncnn int8 by the user's own ncnn2table and ncnn2int8: found, used, recorded; what is wrong with them."""

import shlex
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.convert import Format, artifact_key, make_artifact
from harness.convert.calibration import Calibration
from harness.convert.ncnn_tools import QUANTIZABLE, SETTING, FloatNetwork, NcnnTools, quantize
from harness.environments import Packages, environment
from harness.errors import ConversionError, PocketbenchError, UnknownNameError, UnsupportedError
from harness.runtimes import RUNTIMES
from harness.spec.conversion import NcnnInt8
from harness.toolchains import TOOLS

pytest_plugins = ["networks"]

NCNN = RUNTIMES["ncnn"]
QUANTIZER = Path(__file__).parent / "peers" / "ncnn_quantizer.py"
INT8 = Format(runtime="ncnn", version=NCNN.default_version, precision="int8")
NETWORK = """
net (float[1, 8, 8, 8] x, float[1, 1, 4, 4] z) => (float[1, 4] y) <int64[2] flat = {1, 16}> {
    a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, dense)
    b = Relu(a)
    c = Mul(b, z)
    d = Conv <pads = [1, 1, 1, 1], group = 16> (c, alone)
    e = Relu(d)
    f = GlobalAveragePool(e)
    g = Reshape(f, flat)
    y = MatMul(g, last)
}
"""

SCALES = {"convrelu_0": 37.992455, "convdwrelu_0": 4.787445, "linear_4": 17.660851}
"""Of the layers' inputs, as ncnn2table's code for `kl` (in C++, linked to ncnn 1.0.20261020) wrote them."""


@pytest.fixture(scope="module")
def two_inputs(network):
    """A dense convolution, one of single channels, and a product with a matrix."""
    draw = np.random.default_rng(2).normal
    weights = {
        "dense": draw(size=(16, 8, 3, 3)),
        "alone": draw(size=(16, 1, 3, 3)),
        "last": draw(size=(16, 4)),
    }
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    return network(NETWORK, {"x": (1, 8, 8, 8), "z": (1, 1, 4, 4)}, weights=floats)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Calibration samples of the same kind as the feed, for the method that is the tools'."""
    folder = tmp_path_factory.mktemp("samples")
    draw = np.random.default_rng(3).normal
    for number in range(4):
        x, z = (draw(size=size).astype(np.float32) for size in ((1, 8, 8, 8), (1, 1, 4, 4)))
        np.savez(folder / f"{number}.npz", x=x, z=z)
    files = tuple(sorted(file.name for file in folder.iterdir()))
    return Calibration(path=folder, files=files, digest="samples", method="kl")


class Quantized:
    """Calls the tools on a network that is there already."""

    def __init__(self, network, samples):
        self.network, self.samples = network, samples

    def __call__(self, leave_out=()):
        out = tuple(self.network.param.with_name(f"model.ncnn.{end}") for end in ("param", "bin"))
        return quantize(NcnnTools.supplied(), self.network, self.samples, leave_out, out)


@pytest.fixture
def quantized(cache, two_inputs, shown, tools, tmp_path):
    """The tools at work on the two inputs' network, without what converting to ncnn takes."""
    made = make_artifact(cache, two_inputs, msgspec.structs.replace(INT8, precision="fp32"))
    folder = tmp_path / "converted"
    folder.mkdir()
    param, weights = (
        shutil.copy(made.path / made.record.files[role], folder / f"float.{role}")
        for role in ("param", "bin")
    )
    axes = made.job_options["batch_axes"]
    network = FloatNetwork(param=param, weights=weights, inputs=two_inputs.inputs, axes=axes)
    return Quantized(network, shown.samples)


@pytest.fixture
def tools(cache, tmp_path, monkeypatch):
    """A directory with both programs, which is the one that is named."""
    folder = tmp_path / "the tools"
    folder.mkdir()
    packages = Packages(
        name="ncnn", python=NCNN.python, dependencies=False, requirements=NCNN.packages(NCNN.default_version)
    )
    made = environment(cache, packages)
    for name in ("ncnn2table", "ncnn2int8"):
        command = shlex.join(made.command(str(QUANTIZER), name))
        paths = shlex.quote(f"{made.site}:{TOOLS}")
        (folder / name).write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {command} "$@"\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv(SETTING, str(folder))
    return folder


def spoil(program, line):
    """Put a line before what `program` does when it is given something to do."""
    first, *rest = program.read_text().splitlines(keepends=True)
    program.write_text("".join([first, f"[ $# -eq 0 ] || {{ {line}; }}\n", *rest]))


def distance(given, reference):
    return float(np.abs(given - reference).max() / np.abs(reference).max())


def replace(program, content):
    program.write_bytes(content)
    program.chmod(0o755)


def test_int8_of_the_users_tools_computes_nearly_what_floats_do(cache, computed, two_inputs, shown, tools):
    made = make_artifact(cache, two_inputs, INT8, shown)
    assert sum(made.record.options["int8"].values()) == 3
    assert sorted(path.name for path in made.path.iterdir()) == [
        "artifact.json",
        "int8.table",
        "key.json",
        "model.ncnn.bin",
        "model.ncnn.param",
    ]
    reference = computed(two_inputs, "onnxruntime", shape=(1, 4))
    given = computed(two_inputs, "ncnn", "int8", (1, 4), shown)
    assert 0 < distance(given, reference) < 0.25


def test_our_own_kl_chooses_the_ranges_of_ncnn2table(cache, two_inputs, shown):
    made = make_artifact(cache, two_inputs, INT8, shown)
    table = [line.split() for line in (made.path / "int8.table").read_text().splitlines()]
    by_name = {name: [float(number) for number in numbers] for name, *numbers in table}
    assert list(by_name) == [*(f"{name}_param_0" for name in SCALES), *SCALES]
    assert {name: by_name[name][0] for name in SCALES} == pytest.approx(SCALES, rel=1e-3)
    assert [len(by_name[f"{name}_param_0"]) for name in SCALES] == [16, 16, 4]


def test_the_record_and_the_key_say_which_tools_they_were(cache, two_inputs, shown, tools):
    key = artifact_key(two_inputs, INT8, shown)
    assert key["options"]["calibration"]["tools"].keys() == {"ncnn2table", "ncnn2int8", "used by"}
    with (tools / "ncnn2int8").open("a") as program:
        program.write("# another release\n")
    assert artifact_key(two_inputs, INT8, shown) != key


def test_tools_change_nothing_of_methods_that_are_not_theirs(two_inputs, shown, tools, monkeypatch):
    usual = msgspec.structs.replace(shown, method=None)
    key, with_tools = (artifact_key(two_inputs, INT8, one) for one in (usual, shown))
    monkeypatch.delenv(SETTING)
    assert artifact_key(two_inputs, INT8, usual) == key
    assert artifact_key(two_inputs, INT8, shown) != with_tools, "which are not there, so it is our own kl"


def test_layers_that_are_left_out_stay_floats(quantized):
    lines = quantized.network.param.read_text().splitlines()
    (name,) = (line.split()[1] for line in lines if line.startswith("ConvolutionDepthWise "))
    assert quantized(leave_out=(name,)) == {
        "int8": {"Convolution": 1, "InnerProduct": 1},
        "left_in_fp16": {"ConvolutionDepthWise": 1},
    }
    with pytest.raises(UnknownNameError, match=rf"unknown layer to quantize 'conv_99'.*{name}"):
        quantized(leave_out=("conv_99",))


def test_with_every_layer_left_out_nothing_is_quantized_and_no_tool_is_blamed(quantized):
    lines = quantized.network.param.read_text().splitlines()
    names = [line.split()[1] for line in lines if line.split()[0] in QUANTIZABLE]
    assert quantized(leave_out=names) == {"int8": {}}


@pytest.mark.parametrize("with_tools", [True, False])
def test_that_every_layer_is_left_out_is_told_the_same_way(
    cache, two_inputs, shown, tools, monkeypatch, with_tools
):
    if not with_tools:
        monkeypatch.delenv(SETTING)
    form = msgspec.structs.replace(INT8, options=NcnnInt8(leave_out=tuple(SCALES)))
    told = "tiny has none of them beside what is left out: convrelu_0, convdwrelu_0, linear_4"
    with pytest.raises(UnsupportedError, match=told):
        make_artifact(cache, two_inputs, form, shown)


def test_a_network_with_nothing_to_quantize_is_told_as_without_the_tools(cache, network, shown, tools):
    model = network("net (float[1, 4] x) => (float[1, 4] y) { y = Relu(x) }", {"x": (1, 4)})
    with pytest.raises(UnsupportedError, match=r"ncnn computes Convolution, .* and tiny has none of them"):
        make_artifact(cache, model, INT8, shown)


def test_inputs_that_are_no_floats_are_told_before_anything_runs(quantized):
    integers = [msgspec.structs.replace(tensor, dtype="int64") for tensor in quantized.network.inputs]
    quantized.network = msgspec.structs.replace(quantized.network, inputs=integers)
    with pytest.raises(UnsupportedError, match=rf"x is int64 .*: unset {SETTING}"):
        quantized()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda folder: (folder / "ncnn2int8").unlink(), "which has no ncnn2int8. It is the directory"),
        (lambda folder: (folder / "ncnn2table").chmod(0o644), "may not be run: chmod [+]x"),
        (
            lambda folder: replace(folder / "ncnn2table", b"\x7fELF\x02\x01\x01" + b"\0" * 57),
            r"cannot be started \(Exec format error\): is it made for this machine, Linux on ",
        ),
        (
            lambda folder: replace(
                folder / "ncnn2int8", b"#!/bin/sh\necho lacks libgomp.so.1 >&2; exit 127\n"
            ),
            "ncnn2int8 .* does not run: lacks libgomp.so.1",
        ),
        (lambda folder: replace(folder / "ncnn2int8", b"#!/bin/sh\nexit 255\n"), "prints nothing"),
        (
            lambda folder: replace(folder / "ncnn2table", b"#!/bin/sh\necho Usage: ncnn2table\n"),
            "reads images alone: .* Take a newer one",
        ),
    ],
    ids=["missing", "no program", "of another machine", "without a library", "silent", "old"],
)
def test_tools_that_cannot_be_used_are_told_and_not_remembered(two_inputs, shown, tools, fault, told):
    fault(tools)
    with pytest.raises(PocketbenchError, match=told) as error:
        artifact_key(two_inputs, INT8, shown)
    assert not isinstance(error.value, ConversionError)
    assert SETTING in str(error.value)


def test_a_directory_that_is_not_there_is_told(two_inputs, shown, monkeypatch):
    monkeypatch.setenv(SETTING, "/nowhere/at/all")
    with pytest.raises(PocketbenchError, match="names /nowhere/at/all, which has no ncnn2table"):
        artifact_key(two_inputs, INT8, shown)


@pytest.mark.parametrize(
    ("program", "line", "told"),
    [
        ("ncnn2table", "kill -SEGV $$", "ncnn2table crashed: SIGSEGV"),
        ("ncnn2table", "echo 'expect 1 means, but got 0' >&2; exit 255", r"code 255\): expect 1 means"),
        ("ncnn2table", "exit 0", "ncnn2table ended without an error and without int8.table"),
        ("ncnn2int8", "echo fopen failed; exit 0", r"without model\.ncnn\.param, .*: fopen failed"),
        ("ncnn2int8", 'cp "$1" "$3"; cp "$2" "$4"; exit 0', "ncnn2int8 .* quantized nothing"),
    ],
    ids=["crashed", "refused", "no table", "no network", "no int8"],
)
def test_a_tool_that_fails_is_told_with_its_last_words(quantized, tools, program, line, told):
    spoil(tools / program, line)
    with pytest.raises(ConversionError, match=told):
        quantized()
