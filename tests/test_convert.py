"""Converting: refusals are remembered, hangs are ended and not, and what counts is the files.

The converters are the real ones, in their own environments, on networks of a few nodes.
"""

import re
import sys
import time

import msgspec
import numpy as np
import pytest

from harness.cache import Cache, digest_of
from harness.convert import CONVERTERS, Format, artifact_key, make_artifact
from harness.convert.ncnn import _batch_axes, pnnx_release
from harness.convert.rewrite import rewritten, version_of
from harness.errors import ConversionError, UnsupportedError
from harness.platforms import HOST, Platform
from harness.runtimes import RUNTIMES
from harness.spec import Case, TensorSpec
from harness.toolchains import ConversionTimeoutError, ToolKilledError, require_files, run_tool

UNKNOWN = "net (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y) { h = Relu(x) m = Hardmax(h) y = Hardmax(m) }"
CONVOLUTION = """
net (float[1, 4, 8, 8] x) => (float[1, 4, 8, 8] y) { h = Conv <pads = [1, 1, 1, 1]> (x, w) y = Add(h, x) }
"""
STATE = """
net (float[1, 8] x, float[2, 1, 8] state) => (float[1, 8] y) <int64 zero = {0}, int64 one = {1}> {
    a = Gather <axis = 0> (state, zero)
    b = Gather <axis = 0> (state, one)
    c = Mul(a, x)
    y = Add(c, b)
}
"""
NEWER = """
net (float[1, 16] x) => (float[1, 4] y)
<int64[4] pads = {0, 2, 0, 2}, int64[1] first = {1}> {
    padded = Pad <mode = "reflect"> (x, pads)
    a, b, c, d, e = Split <axis = 1, num_outputs = 5> (padded)
    s = Add(a, b)
    t = Mul(s, c)
    u = Unsqueeze(t, first)
    v = Add(d, e)
    w = Add(u, v)
    y = ReduceMean <keepdims = 0> (w, first)
}
"""
CONVERTED = ("mnn", "ncnn", "paddlelite")

pytest_plugins = ["networks"]


def form(runtime, precision="fp32"):
    return Format(runtime=runtime, version=RUNTIMES[runtime].default_version, precision=precision)


@pytest.fixture(scope="module")
def unknown(network):
    return network(UNKNOWN, {"x": (1, 4, 8, 8)})


@pytest.mark.parametrize("runtime", CONVERTED)
def test_operators_that_a_converter_does_not_know_are_named_and_counted_and_the_refusal_remembered(
    cache, unknown, runtime, monkeypatch
):
    with pytest.raises(ConversionError, match=r"Hardmax \(2\)") as first:
        make_artifact(cache, unknown, form(runtime, "fp32"))
    assert first.value.log

    def never(*arguments, **options):
        raise AssertionError("the converter ran again")

    monkeypatch.setattr(f"harness.convert.{runtime}.run_tool", never)
    again = Cache(cache.root)
    with pytest.raises(ConversionError) as second:
        make_artifact(again, unknown, form(runtime, "fp32"))

    assert str(second.value) == str(first.value)
    assert second.value.log == first.value.log
    assert again.built == []


def test_a_precision_that_a_runtime_does_not_have_is_unsupported(unknown):
    with pytest.raises(
        UnsupportedError, match=r"ncnn has no w8\. Its 8-bit weights .*\. Here it has fp32, fp16, bf16, int8"
    ):
        artifact_key(unknown, form("ncnn", "w8"))


@pytest.mark.parametrize("runtime", CONVERTERS)
def test_a_second_conversion_builds_nothing(cache, network, runtime):
    model = network(CONVOLUTION, {"x": (1, 4, 8, 8)}, weights={"w": np.ones((4, 4, 3, 3), np.float32)})
    first = make_artifact(cache, model, form(runtime, "fp32"))
    assert all((first.path / name).stat().st_size for name in first.record.files.values())

    again = Cache(cache.root)
    second = make_artifact(again, model, form(runtime, "fp32"))

    assert again.built == []
    assert second == first


def test_a_converter_that_hangs_is_ended_with_its_children_and_not_remembered(tmp_path):
    cache, key = Cache(tmp_path / "cache"), {"model": "slow"}
    beat = tmp_path / "beat"
    child = f"while true; do echo . >> {beat}; sleep 0.05; done"

    def build(path):
        run_tool("slowconvert", ["sh", "-c", f"({child}) & wait"], cwd=path, env={}, timeout_s=0.5)

    began = time.monotonic()
    with pytest.raises(ConversionTimeoutError, match="slowconvert did not finish"):
        cache.entry("artifacts", key, build)
    assert time.monotonic() - began < 20
    assert not cache.has("artifacts", key)
    grown = beat.stat().st_size
    time.sleep(0.3)
    assert beat.stat().st_size == grown

    done = cache.entry("artifacts", key, lambda path: (path / "model").touch())
    assert (done / "model").is_file()


def test_an_exit_code_of_zero_without_a_file_is_an_error(tmp_path):
    printed = run_tool("liar", [sys.executable, "-c", "print('all well')"], cwd=tmp_path, env={})
    (tmp_path / "empty").touch()

    for name in ("missing", "empty"):
        with pytest.raises(ConversionError, match=f"without {name}: all well") as caught:
            require_files("liar", printed, tmp_path / name)
        assert caught.value.log == printed


def test_a_converter_that_the_system_kills_is_tried_again(tmp_path):
    cache, key = Cache(tmp_path / "cache"), {"model": "large"}

    def build(path):
        run_tool("hungry", ["sh", "-c", "kill -KILL $$"], cwd=path, env={})

    with pytest.raises(ToolKilledError, match="hungry was killed, most likely because memory ran out: close"):
        cache.entry("artifacts", key, build)

    assert cache.entry("artifacts", key, lambda path: (path / "model").touch()).is_dir()


def test_the_version_of_a_script_is_also_that_of_the_scripts_it_imports(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.convert.rewrite.TOOLS", tmp_path)
    (tmp_path / "does.py").write_text("from helps import thing\nimport json\n")
    versions = set()
    for text in ("thing = 1\n", "thing = 2\n"):
        (tmp_path / "helps.py").write_text(text)
        versions.add(version_of("does.py"))

    assert len(versions) == 2
    assert all(version.startswith("does.py@") for version in versions)


def test_a_converter_that_dies_is_told_with_its_signal(tmp_path):
    with pytest.raises(ConversionError, match=r"breaker crashed: SIGSEGV\. goodbye"):
        run_tool("breaker", ["sh", "-c", "echo goodbye; kill -SEGV $$"], cwd=tmp_path, env={})


@pytest.mark.parametrize(("runtime", "precision"), [("mnn", "w8"), ("ncnn", "fp16")])
def test_a_layer_of_tiny_weights_computes_what_it_should(network, computed, runtime, precision):
    weights = np.random.default_rng(1).normal(size=(4, 4, 3, 3)).astype(np.float32) * np.float32(1e-5)
    text = CONVOLUTION.replace("y = Add(h, x)", "y = Neg(h)")
    model = network(text, {"x": (1, 4, 8, 8)}, weights={"w": weights})

    reference = computed(model, "onnxruntime", shape=(1, 4, 8, 8))
    given = computed(model, runtime, precision, shape=(1, 4, 8, 8))

    assert np.abs(given - reference).max() < 0.02 * np.abs(reference).max()


def test_a_model_without_tiny_weights_is_left_as_it_is(cache, network, tmp_path):
    model = network(CONVOLUTION, {"x": (1, 4, 8, 8)}, weights={"w": np.ones((4, 4, 3, 3), np.float32)})

    assert rewritten(cache, "lift_weights.py", model.frozen, tmp_path / "out.onnx") == model.frozen
    assert not (tmp_path / "out.onnx").exists()


def test_parts_of_a_state_are_selected_in_ncnn(network, computed):
    model = network(STATE, {"x": (1, 8), "state": (2, 1, 8)})

    reference = computed(model, "onnxruntime", shape=(1, 8))

    assert np.allclose(computed(model, "ncnn", shape=(1, 8)), reference, atol=1e-6)


def test_a_model_of_a_newer_opset_computes_the_same_in_paddlelite(network, computed):
    model = network(NEWER, {"x": (1, 16)}, opset=18)

    reference = computed(model, "onnxruntime", shape=(1, 4))

    assert np.allclose(computed(model, "paddlelite", shape=(1, 4)), reference, atol=1e-5)


def mobile(arch):
    known = RUNTIMES["paddlelite"]
    case = Case(
        model="tiny",
        runtime=known.name,
        runtime_version=known.default_version,
        precision="fp32",
        threads=1,
        backend="mobile",
    )
    return Format.of(case, HOST if arch is None else Platform(arch=arch))


def test_a_mobile_file_is_made_for_the_processor_that_is_to_run_it(cache, network):
    model = network(CONVOLUTION, {"x": (1, 4, 8, 8)}, weights={"w": np.ones((4, 4, 3, 3), np.float32)})
    made = {arch: make_artifact(cache, model, mobile(arch)) for arch in (None, "x86_64", "aarch64", "armv7l")}
    assert made[None] == made["x86_64"]
    assert made["armv7l"] == made["aarch64"], "its kernels are chosen at run time"
    assert made["aarch64"].record.options["valid_targets"] == "arm"
    for arch, target in (("x86_64", 2), ("aarch64", 4)):  # as Paddle-Lite's paddle_place.h numbers them
        kernels = set(re.findall(rb"conv2d/def/(\d+)/", (made[arch].path / "model.nb").read_bytes()))
        assert kernels == {b"%d" % target}


def test_what_is_the_same_for_every_processor_is_converted_once(cache, network):
    model = network(CONVOLUTION, {"x": (1, 4, 8, 8)}, weights={"w": np.ones((4, 4, 3, 3), np.float32)})
    for runtime in CONVERTERS:
        forms = [msgspec.structs.replace(form(runtime), arch=arch) for arch in (None, "x86_64", "aarch64")]
        assert len({digest_of(artifact_key(model, one)) for one in forms}) == 1
    x86 = artifact_key(model, mobile("x86_64"))["options"]
    assert x86 == {**artifact_key(model, form("paddlelite"))["options"], "valid_targets": "x86"}


def test_a_processor_without_mobile_kernels_is_unsupported(unknown):
    with pytest.raises(UnsupportedError, match="mobile backend has no kernels for riscv64"):
        artifact_key(unknown, mobile("riscv64"))


def test_what_an_older_opset_cannot_say_is_a_refusal_with_a_reason(cache, network):
    text = "net (float[1, 4] x) => (float[1, 4] y) { y = Mish(x) }"
    model = network(text, {"x": (1, 4)}, opset=18)

    with pytest.raises(ConversionError, match=r"cannot be said in opset 12.*Mish"):
        make_artifact(cache, model, form("paddlelite", "fp32"))


def test_an_older_ncnn_is_given_what_a_pnnx_of_its_time_writes():
    assert pnnx_release("1.0.20261020") == "20261020"
    assert pnnx_release("1.0.20260526") == "20260526"
    assert pnnx_release("1.0.20260114") == "20260112"
    assert pnnx_release("1.0.20230517") == "20240410"


def test_the_batch_axis_is_read_from_what_old_and_new_pnnx_write():
    inputs = [TensorSpec(name="x", shape=(1, 3, 8, 8)), TensorSpec(name="state", shape=(2, 1, 4))]
    new = 'ex.input("in0", ncnn.Mat(in0.numpy(), batch_index=0).clone())\n'
    new += 'ex.input("in1", ncnn.Mat(in1.numpy(), batch_index=233).clone())\n'
    old = 'ex.input("in0", ncnn.Mat(in0.squeeze(0).numpy()).clone())\n'
    old += 'ex.input("in1", ncnn.Mat(in1.squeeze(0).numpy()).clone())\n'
    assert _batch_axes(new, inputs) == _batch_axes(old, inputs) == [0, None]
