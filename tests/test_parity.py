import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.parity import LIMITS, SNR_CAP_DB, judge, resolve, top_1_agreement
from harness.spec import PRECISIONS, Parity, ParityLimits

RNG = np.random.default_rng(5)
SCORES = RNG.normal(size=(1, 3, 8, 8)).astype(np.float32)


def judged(reference, candidate, *, precision="fp32", task="other", override=None):
    return judge([("y", reference)], [("y", candidate)], precision=precision, task=task, override=override)


def only(parity):
    (output,) = parity.outputs
    assert output.ok is parity.ok
    return output


def arrays(dtype=np.float32, **limits):
    width = np.dtype(dtype).itemsize * 8
    elements = st.floats(allow_nan=False, allow_infinity=False, width=width, **limits)
    return hnp.arrays(dtype, hnp.array_shapes(max_dims=3, max_side=6), elements=elements)


@given(arrays(), st.sampled_from(PRECISIONS), st.sampled_from(["classifier", "sequence", "other"]))
def test_an_output_agrees_with_itself_at_every_precision(reference, precision, task):
    parity = judged(reference, reference.copy(), precision=precision, task=task)
    assert parity.ok, parity.outputs[0].failure
    assert parity.outputs[0].max_rel == 0


@given(arrays(np.float64), st.data())
def test_no_figure_is_ever_something_that_json_cannot_say(reference, data):
    candidate = data.draw(hnp.arrays(np.float64, reference.shape, elements=st.floats(width=64)))
    parity = judged(reference, candidate)
    assert msgspec.json.decode(msgspec.json.encode(parity), type=Parity) == parity


@given(arrays(), st.data())
def test_one_nan_fails_every_precision_and_leaves_no_figure(reference, data):
    place = data.draw(st.integers(0, reference.size - 1))
    value = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    candidate = reference.copy()
    candidate.flat[place] = value
    for precision in PRECISIONS:
        output = only(judged(reference, candidate, precision=precision, override=ParityLimits(cosine=-1.0)))
        assert not output.ok
        assert "where the reference is finite" in output.failure
        assert (output.max_abs, output.max_rel, output.cosine, output.snr_db, output.top_k) == (None,) * 5


@given(arrays(min_value=-1e6, max_value=1e6), st.floats(0.25, 4.0))
def test_scaling_both_sides_changes_no_verdict(reference, scale):
    reference = reference.astype(np.float64)
    candidate = reference + 0.01 * np.abs(reference).max()
    first = only(judged(reference, candidate))
    second = only(judged(reference * scale, candidate * scale))
    assert first.max_rel == pytest.approx(second.max_rel, rel=1e-6)


@given(arrays(np.float64, min_value=-100, max_value=100), st.data())
def test_figures_are_the_textbook_formulas(reference, data):
    elements = st.floats(-100, 100)
    candidate = data.draw(hnp.arrays(np.float64, reference.shape, elements=elements))
    difference = candidate - reference
    if min(np.linalg.norm(reference), np.linalg.norm(candidate), np.linalg.norm(difference)) < 1e-100:
        return
    output = only(judged(reference, candidate))
    a, b = reference.ravel(), candidate.ravel()
    assert output.max_abs == pytest.approx(np.abs(difference).max())
    assert output.max_rel == pytest.approx(np.abs(difference).max() / np.abs(reference).max())
    assert output.cosine == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-9)
    snr = 10 * np.log10(np.sum(reference**2)) - 10 * np.log10(np.sum(difference**2))
    assert output.snr_db == pytest.approx(np.clip(snr, -SNR_CAP_DB, SNR_CAP_DB), abs=1e-6)


def test_identical_outputs_have_the_capped_signal_to_noise():
    assert only(judged(SCORES, SCORES)).snr_db == SNR_CAP_DB


def test_a_missing_output_is_named():
    parity = judge([("a", SCORES), ("b", SCORES)], [("a", SCORES)], precision="fp32")
    assert not parity.ok
    assert [(o.name, o.ok, o.failure) for o in parity.outputs] == [
        ("a", True, ""),
        ("b", False, "missing output"),
    ]


def test_outputs_that_the_converter_renamed_are_met_by_position():
    parity = judge([("a", SCORES), ("b", -SCORES)], [("out0", SCORES), ("out1", -SCORES)], precision="fp32")
    assert parity.ok


def test_swapped_outputs_with_their_names_kept_are_met_by_name():
    parity = judge([("a", SCORES), ("b", -SCORES)], [("b", -SCORES), ("a", SCORES)], precision="fp32")
    assert parity.ok


def test_comparing_nothing_is_an_error_and_not_a_pass():
    with pytest.raises(ValueError, match="at least one"):
        judge([], [("a", SCORES)], precision="fp32")


def test_another_shape_fails_even_with_the_same_values():
    output = only(judged(SCORES, SCORES[0], precision="w4"))
    assert output.failure == "shape 3x8x8, reference 1x3x8x8"


def test_another_dtype_fails_and_still_shows_the_figures():
    output = only(judged(SCORES, SCORES.astype(np.float64)))
    assert output.failure == "dtype float64, reference float32"
    assert output.cosine == pytest.approx(1.0)


def test_a_constant_output_fails_at_the_loosest_precision():
    output = only(judged(SCORES, np.full_like(SCORES, 0.5), precision="w4"))
    assert "constant output (0.5 everywhere)" in output.failure


def test_a_reference_that_hardly_varies_may_become_constant_by_rounding():
    reference = np.array([1.0, 1.0001, 1.0002], np.float32)
    assert judged(reference, np.ones(3, np.float32)).ok


def test_twice_the_right_values_fail_although_the_cosine_is_perfect():
    output = only(judged(SCORES, 2 * SCORES, precision="w4"))
    assert output.cosine == pytest.approx(1.0)
    assert not output.ok
    assert "max_rel" in output.failure
    assert "snr_db" in output.failure


def test_a_zero_reference_is_judged_by_the_difference_itself():
    zeros = np.zeros(4, np.float32)
    assert judged(zeros, zeros).ok
    near = only(judged(zeros, np.array([1e-6, 0, 0, 0], np.float32)))
    assert near.ok
    assert (near.cosine, near.snr_db) == (None, None)
    assert not judged(zeros, np.array([0.5, 0, 0, 0], np.float32)).ok


def test_a_candidate_of_zeros_has_cosine_zero():
    assert only(judged(np.ones(3, np.float32), np.zeros(3, np.float32))).cosine == 0.0


def test_places_where_the_reference_is_infinite_are_left_out():
    reference = np.array([1.0, 2.0, -np.inf], np.float32)
    assert judged(reference, np.array([1.0, 2.0, -65504.0], np.float32)).ok


def test_a_reference_with_nothing_finite_proves_nothing():
    output = only(judged(np.full(3, np.nan, np.float32), np.zeros(3, np.float32)))
    assert output.failure == "the reference has no finite value to compare with"


def test_top_1_of_a_classifier_must_be_the_same_class():
    reference = np.array([[0.1, 0.50, 0.4995]], np.float32)
    flipped = np.array([[0.1, 0.4995, 0.50]], np.float32)
    output = only(judged(reference, flipped, precision="fp16", task="classifier"))
    assert output.top_k == 0.0
    assert output.failure == "top_k 0 < 0.99"
    assert judged(reference, flipped, precision="fp16").ok


def test_a_sequence_is_judged_step_by_step():
    reference = np.zeros((1, 4, 3), np.float32)
    reference[0, :, 1] = 1
    candidate = reference.copy()
    candidate[0, 2] = [1, 0, 0]
    assert only(judged(reference, candidate, task="sequence")).top_k == 0.75


def test_only_the_scores_are_ranked_and_not_the_state_beside_them():
    state = np.array([[[0.3, 0.3000001]]], np.float32)
    parity = judge(
        [("scores", SCORES), ("state", state)],
        [("scores", SCORES), ("state", state[..., ::-1])],
        precision="fp32",
        task="sequence",
    )
    assert parity.ok
    assert [output.top_k for output in parity.outputs] == [1.0, None]


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(2, 5)), elements=st.floats(-9, 9)))
def test_any_of_several_equal_best_classes_is_right(reference):
    reversed_ties = reference + np.linspace(0, 1e-12, reference.shape[1])
    assert top_1_agreement(reference, reference) == 1.0
    assert 0 <= top_1_agreement(reference, reversed_ties) <= 1


def test_integer_and_boolean_outputs_are_compared_by_value():
    classes = np.array([3, 1, 2], np.int64)
    assert judged(classes, classes.copy()).ok
    assert not judged(classes, np.array([3, 1, 5], np.int64)).ok
    assert judged(classes, classes.astype(np.int32)).outputs[0].failure == "dtype int32, reference int64"
    assert not judged(np.array([True, False]), np.array([False, True])).ok


def test_text_outputs_must_be_equal():
    words = np.array(["a", "b"])
    assert judged(words, words.copy()).ok
    assert only(judged(words, np.array(["a", "c"]))).failure == "1 of 2 values differ"


def test_an_override_replaces_only_what_it_names():
    assert resolve("int8", ParityLimits(cosine=0.5)) == ParityLimits(
        cosine=0.5, max_rel=LIMITS["int8"].max_rel, snr_db=LIMITS["int8"].snr_db, top_k=LIMITS["int8"].top_k
    )
    noisy = (SCORES + RNG.normal(scale=0.2, size=SCORES.shape)).astype(np.float32)
    assert not judged(SCORES, noisy, precision="fp16").ok
    loose = ParityLimits(cosine=0.9, max_rel=1.0, snr_db=0.0)
    assert judged(SCORES, noisy, precision="fp16", override=loose).ok


def test_limits_loosen_with_the_precision():
    for figure in ("cosine", "snr_db", "top_k"):
        values = [getattr(LIMITS[p], figure) for p in ("fp32", "fp16", "w16", "bf16", "w8", "int8", "w4")]
        assert values == sorted(values, reverse=True)
    assert set(LIMITS) == set(PRECISIONS)


def test_rounding_to_half_precision_passes_as_fp16_and_fails_as_fp32():
    rounded = SCORES.astype(np.float16).astype(np.float32) * np.float32(1.002)
    assert judged(SCORES, rounded, precision="fp16").ok
    assert not judged(SCORES, rounded, precision="fp32").ok
