"""Models whose weights lie in a file beside them: found whole, frozen, converted and run as any other.

Protobuf's limit of 2 GiB is the reason for them; here it is taken for a megabyte.
"""

import json
import os

import numpy as np
import pytest
from peers.ssh_devices import device_on

from harness.bisect.cuts import opened, read_graph
from harness.convert import Format, make_artifact
from harness.convert.calibration import calibration_for
from harness.errors import ConversionError, UnsupportedError
from harness.models.prepare import prepare
from harness.models.sources import content_sha256
from harness.runtimes import RUNTIMES
from harness.spec import Model, TensorSpec

pytest_plugins = ["networks", "peers.freezing", "peers.shell_fixtures"]

MANY_BYTES = 1_000_000
WIDTH = 512

# Two layers of a megabyte each, of which the first takes in its normalisation; `beside` or `within`.
BUILD = """
import sys
import numpy as np
import onnx
from onnx import helper as h, numpy_helper

path, beside = sys.argv[1], sys.argv[2] == "beside"
draw, width = np.random.default_rng(0), 512
vectors = {name: draw.uniform(0.5, 1.5, width) for name in ("scale", "shift", "mean", "variance")}
matrices = {"w": draw.normal(size=(width, width, 1, 1)) / 16, "m": draw.normal(size=(width, width)) / 16}
arrays = {**matrices, **vectors}
weights = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
weights.append(numpy_helper.from_array(np.array([1, width]), "flat"))
nodes = [
    h.make_node("Conv", ["x", "w"], ["c"]),
    h.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["b"]),
    h.make_node("Relu", ["b"], ["r"]),
    h.make_node("Reshape", ["r", "flat"], ["f"]),
    h.make_node("MatMul", ["f", "m"], ["y"]),
]
value = lambda name, shape: h.make_tensor_value_info(name, 1, shape)
graph = h.make_graph(nodes, "g", [value("x", [1, width, 1, 1])], [value("y", [1, width])], weights)
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
location = "weights.bin" if beside else None
onnx.save(model, path, save_as_external_data=beside, location=location, size_threshold=0)
"""

# Says of a model where its weights lie: {name: file or null}.
PLACES = """
import json, sys, onnx
weights = onnx.load(sys.argv[1], load_external_data=False).graph.initializer
places = {weight.name: {entry.key: entry.value for entry in weight.external_data} for weight in weights}
print(json.dumps({name: place.get("location") for name, place in places.items()}))
"""
INPUTS = [("x", [1, WIDTH, 1, 1], "float32")]
FEED = {"x": np.random.default_rng(1).normal(size=(1, WIDTH, 1, 1)).astype(np.float32)}


@pytest.fixture
def built(tools, tmp_path):
    """Makes the network in a folder of its own, `beside` its weights or with them `within`."""

    def build(form):
        folder = tmp_path / form
        folder.mkdir()
        done = tools.python("-c", BUILD, folder / "net.onnx", form)
        assert done.returncode == 0, done.stderr
        return folder / "net.onnx"

    return build


def test_many_weights_lie_beside_the_frozen_model_which_computes_the_same(tools, built):
    one = tools.frozen(built("within"), INPUTS)
    two = tools.frozen(built("beside"), INPUTS, largest_file_bytes=MANY_BYTES)
    left = sorted(path.name for path in two.frozen.parent.iterdir())
    assert left == [
        "frozen.onnx",
        "frozen.onnx.data",
        "report.json",
        "request.json",
        "shaped.onnx",
        "shaped.onnx.data",
    ]
    assert {**one.report} == {**two.report}
    assert "BatchNormalization" not in two.report["ops"], "its constants were read where they lie"
    ((whole, within),) = tools.run_both(one, FEED)
    ((shaped, beside),) = tools.run_both(two, FEED)
    assert np.array_equal(within, beside)
    assert np.array_equal(whole, shaped)
    assert np.allclose(shaped, beside, rtol=1e-5, atol=1e-5)
    places = json.loads(tools.python("-c", PLACES, two.frozen).stdout)
    assert places["m"] == "frozen.onnx.data"
    assert sorted(filter(None, places.values())) == ["frozen.onnx.data"] * 2, "small ones stay within"


def test_few_weights_that_lay_beside_a_model_are_taken_into_it(tools, built):
    frozen = tools.frozen(built("beside"), INPUTS)
    assert not list(frozen.frozen.parent.glob("*.data"))
    assert frozen.frozen.read_bytes() == tools.frozen(built("within"), INPUTS).frozen.read_bytes()


def test_links_to_weights_are_followed_because_folders_are_put_together_of_them(tools, built, tmp_path):
    model = built("beside")
    weights = model.with_name("weights.bin")
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    tools.frozen(model, INPUTS, largest_file_bytes=MANY_BYTES)


def cut_off(weights):
    os.truncate(weights, weights.stat().st_size - 4)


def leading_outside(weights):
    model = weights.with_name("net.onnx")
    model.write_bytes(model.read_bytes().replace(b"weights.bin", b"../ghts.bin"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            lambda weights: weights.unlink(),
            "said to be in weights.bin, which cannot be read: No such file",
        ),
        (cut_off, "weights.bin is cut off: it has 210"),
        (leading_outside, "is said to be in '../ghts.bin', outside of the folder"),
    ],
    ids=["missing", "cut off", "outside"],
)
def test_weights_that_are_not_where_the_model_says_are_told_on_one_line(tools, built, damage, told):
    model = built("beside")
    damage(model.with_name("weights.bin"))
    done, _ = tools.freeze(model, INPUTS)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert told in done.stderr


def model_of(source, **fields):
    inputs = (TensorSpec(name="x", shape=(1, WIDTH, 1, 1)),)
    digest = content_sha256(source)
    return Model(name="big", source=f"file:{source}", sha256=digest, feed="stand_in", inputs=inputs, **fields)


def test_a_file_whose_sha256_does_not_cover_its_weights_is_no_source(cache, built):
    with pytest.raises(ConversionError, match=r"weights in another file, weights\.bin, .* make the folder"):
        prepare(cache, model_of(built("beside")), built("within"))


@pytest.fixture(scope="module")
def prepared(cache, tools, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    assert tools.python("-c", BUILD, folder / "net.onnx", "beside").returncode == 0
    return prepare(cache, model_of(folder), folder, largest_file_bytes=MANY_BYTES)


@pytest.fixture(scope="module")
def reference(computed, prepared):
    return computed(prepared, "onnxruntime", shape=(1, WIDTH))


@pytest.mark.parametrize(
    ("runtime", "precision", "cosine"),
    [
        ("onnxruntime", "fp16", 0.9999),
        ("onnxruntime", "w8", 0.999),
        ("onnxruntime", "w4", 0.98),
        ("mnn", "fp32", 0.999999),
        ("mnn", "w8", 0.999),
        ("mnn", "w4", 0.98),
        ("ncnn", "fp32", 0.999999),
        ("ncnn", "fp16", 0.9999),
    ],
)
def test_converters_read_weights_that_lie_beside(computed, prepared, reference, runtime, precision, cosine):
    given = computed(prepared, runtime, precision, (1, WIDTH)).ravel().astype(np.float64)
    wanted = reference.ravel().astype(np.float64)
    assert given @ wanted / np.linalg.norm(given) / np.linalg.norm(wanted) > cosine


@pytest.mark.parametrize(
    ("runtime", "precision", "converter"),
    [
        ("paddlelite", "fp32", "x2paddle"),
        ("mnn", "int8", "mnnquant"),
        ("onnxruntime", "int8", "onnxruntime's static quantizer"),
    ],
)
def test_converters_that_do_not_are_named_with_the_limit(
    cache, prepared, runtime, precision, converter, tmp_path
):
    version = RUNTIMES[runtime].default_version
    form = Format(runtime=runtime, version=version, precision=precision)
    shown = calibration_for(cache, model_of(tmp_path), prepared, precision, tmp_path)
    with pytest.raises(
        UnsupportedError, match=rf"^{converter} takes one ONNX file, which ends at protobuf's 2 GiB"
    ) as refused:
        make_artifact(cache, prepared, form, shown)
    assert not isinstance(refused.value, ConversionError)


def test_an_artifact_of_several_files_reaches_a_device_and_runs_there(
    cache, computed, prepared, reference, sshd, tmp_path
):
    version = RUNTIMES["onnxruntime"].default_version
    form = Format(runtime="onnxruntime", version=version, precision="fp32")
    made = make_artifact(cache, prepared, form)
    assert made.record.files == {"onnx": "model.onnx", "weights": "model.onnx.data"}
    board = device_on(sshd, tmp_path / "board")
    given = computed(prepared, "onnxruntime", shape=(1, WIDTH), place=board)
    assert np.array_equal(given, reference)
    sent = {path.name for path in (tmp_path / "board").rglob("*") if path.is_file()}
    assert {"model.onnx", "model.onnx.data"} <= sent


def test_the_first_wrong_operator_is_searched_in_it_too(cache, prepared):
    names = {tensor.name for tensor in read_graph(cache, prepared).tensors}
    kept = opened(cache, prepared, [min(names - set(prepared.outputs))])
    assert kept.weights is not None
    assert kept.sha256 != prepared.sha256
