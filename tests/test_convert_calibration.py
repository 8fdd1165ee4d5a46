"""Calibration: other samples than the measured one, checked before any quantizer sees them."""

import json

import msgspec
import numpy as np
import pytest

from harness.cache import Cache, file_sha256
from harness.convert import Format, artifact_key
from harness.convert.calibration import CalibrationPlan, calibrate, calibration_for
from harness.errors import PocketbenchError, UnknownNameError, UnsupportedError
from harness.models.feeds import make_feed
from harness.models.prepare import Prepared
from harness.runtimes import RUNTIMES
from harness.spec import Model, TensorSpec
from harness.spec.conversion import OPTIONS

LINE = Model(
    name="reader", source="file:x.onnx", sha256="0" * 64, feed="text_line",
    inputs=(TensorSpec(name="input.1", shape=(1, 3, 16, 32)),),
)  # fmt: skip


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def prepared(tmp_path):
    """A model whose input another name was given while it was frozen."""
    return Prepared(
        name="reader",
        frozen=tmp_path / "frozen.onnx",
        shaped=tmp_path / "shaped.onnx",
        sha256="1" * 64,
        shaped_sha256="2" * 64,
        inputs=(TensorSpec(name="input_1", shape=(1, 3, 16, 32)),),
        outputs=("y",),
        original_inputs=("input.1",),
        original_outputs=("y",),
    )


def loaded(calibration):
    return [np.load(file)["input_1"] for file in calibration.samples]


def samples_in(folder, *arrays, name="input.1"):
    folder.mkdir(exist_ok=True)
    for number, array in enumerate(arrays):
        np.savez(folder / f"{number}.npz", **{name: array})
    return folder


def form(runtime, precision="int8"):
    return Format(runtime=runtime, version=RUNTIMES[runtime].default_version, precision=precision)


def test_samples_are_other_feeds_than_the_measured_one_and_under_the_frozen_names(cache, prepared, tmp_path):
    made = calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(count=3))
    measured = make_feed(LINE)["input.1"]
    shown = loaded(made)
    assert len(shown) == 3
    assert not any(np.array_equal(sample, measured) for sample in shown)
    assert not np.array_equal(shown[0], shown[1])


def test_samples_are_made_anew_when_the_tokenizers_text_is_another(cache, prepared, tmp_path):
    ids = TensorSpec(name="input_ids", shape=(1, 8), dtype="int64")
    model = msgspec.structs.replace(LINE, feed="tokens", inputs=(ids,))
    tokens = tmp_path / "tokens.json"
    tokenized = msgspec.structs.replace(
        prepared, inputs=(ids,), original_inputs=("input_ids",), tokens=tokens
    )

    def first_of(text):
        tokens.write_text(json.dumps(text))
        made = calibrate(cache, model, tokenized, tmp_path, CalibrationPlan(count=1))
        return np.load(made.samples[0])["input_ids"][0, 0]

    assert first_of([*range(100)]) == 8
    assert first_of([*range(100, 200)]) == 108
    assert first_of([*range(100)]) == 8
    assert len(cache.built) == 2


def test_only_calibrated_precisions_are_shown_samples(cache, prepared, tmp_path):
    assert calibration_for(cache, LINE, prepared, "w8", tmp_path) is None
    assert calibration_for(cache, LINE, prepared, "int8", tmp_path, CalibrationPlan(count=1)).files
    assert len(cache.built) == 1


def test_a_folder_of_the_users_samples_is_taken_in_order_up_to_the_count(cache, prepared, tmp_path):
    arrays = [np.full((1, 3, 16, 32), value, np.float32) for value in (1, 2, 3)]
    folder = samples_in(tmp_path / "samples", *arrays)
    made = calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(count=2, folder=folder))
    assert [sample.flat[0] for sample in loaded(made)] == [1, 2]


RIGHT = np.zeros((1, 3, 16, 32), np.float32)


@pytest.mark.parametrize(
    ("arrays", "name", "told"),
    [
        ((), "input.1", r"samples: it holds no \.npz file\. Save samples of what reader is given there"),
        ((RIGHT[0],), "input.1", r"0\.npz: input\.1 is float32 3x16x32, but reader takes float32 1x3x16x32"),
        ((RIGHT.astype(np.uint8),), "input.1", r"input\.1 is uint8 1x3x16x32, but reader takes float32"),
        ((RIGHT,), "x", r"0\.npz has x, but reader takes input\.1"),
        ((np.full_like(RIGHT, np.nan),), "input.1", r"0\.npz: input\.1 holds values that are not finite"),
        ((np.array([{}], object),), "input.1", r"0\.npz is not an .* plain arrays: it holds Python objects"),
    ],
    ids=["empty", "shape", "dtype", "name", "nan", "objects"],
)
def test_a_folder_that_does_not_fit_is_one_clear_error(cache, prepared, tmp_path, arrays, name, told):
    folder = samples_in(tmp_path / "samples", *arrays, name=name)
    with pytest.raises(PocketbenchError, match=told):
        calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(folder=folder))
    assert cache.built == []


def test_a_folder_that_is_not_there_and_a_file_that_is_no_archive_are_told(cache, prepared, tmp_path):
    with pytest.raises(PocketbenchError, match="nowhere: there is no such folder"):
        calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(folder=tmp_path / "nowhere"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.npz").write_text("no archive")
    with pytest.raises(PocketbenchError, match=r"a\.npz is not an \.npz file: .* this is none") as told:
        calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(folder=tmp_path / "bad"))
    assert "pickle" not in str(told.value)


def test_a_feed_with_one_form_needs_a_folder(cache, prepared, tmp_path):
    np.savez(tmp_path / "feed.npz", **{"input.1": RIGHT})
    digest = file_sha256(tmp_path / "feed.npz")
    recorded = msgspec.structs.replace(LINE, feed="arrays", feed_source="file:feed.npz", feed_sha256=digest)
    with pytest.raises(UnsupportedError, match="give a folder of samples"):
        calibrate(cache, recorded, prepared, tmp_path)


@pytest.mark.parametrize("count", [0, 100_000])
def test_a_count_that_makes_no_sense_is_refused(cache, prepared, tmp_path, count):
    with pytest.raises(PocketbenchError, match=f"takes 1 to 1000 samples, not {count}"):
        calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(count=count))


def test_samples_and_method_are_part_of_the_artifacts_key(cache, prepared, tmp_path):
    def key(runtime, **changes):
        made = calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(**{"count": 1, **changes}))
        return artifact_key(prepared, form(runtime), made)

    assert key("ncnn") == key("ncnn", method="percentile"), "its default"
    assert key("ncnn") != key("ncnn", count=2)
    assert key("ncnn") != key("ncnn", method="kl")
    assert key("ncnn")["options"]["calibration"]["samples"] == 1
    assert "calibration" not in artifact_key(prepared, form("ncnn", "fp32"))["options"]


def test_a_method_that_a_runtime_lacks_is_told_with_those_it_has(cache, prepared, tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown calibration method 'kll'\. Did you mean kl"):
        calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(method="kll"))
    admm = calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(count=1, method="admm"))
    with pytest.raises(UnsupportedError, match="ncnn has no calibration method 'admm' here; it has perc"):
        artifact_key(prepared, form("ncnn"), admm)
    with pytest.raises(UnsupportedError, match="mnn int8 is static: it needs calibration samples"):
        artifact_key(prepared, form("mnn"))


def test_a_dynamic_quantizer_is_shown_nothing(cache, prepared, tmp_path):
    made = calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(method="dynamic"))
    assert made.samples == []
    assert artifact_key(prepared, form("onnxruntime"), made)["options"]["calibration"]["method"] == "dynamic"
    assert cache.built == []


@pytest.mark.parametrize(
    ("runtime", "method", "options"),
    [
        ("onnxruntime", "minmax", {"percentile": 99}),
        ("onnxruntime", "dynamic", {"per_channel": False}),
        ("ncnn", "kl", {"percentile": 99}),
    ],
)
def test_an_option_that_the_method_ignores_is_refused(cache, prepared, tmp_path, runtime, method, options):
    shown = calibrate(cache, LINE, prepared, tmp_path, CalibrationPlan(count=1, method=method))
    asked = msgspec.structs.replace(form(runtime), options=OPTIONS[runtime]["int8"](**options))
    with pytest.raises(UnsupportedError, match=f"{next(iter(options))} has no effect with the calibration"):
        artifact_key(prepared, asked, shown)
