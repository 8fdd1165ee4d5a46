"""From names to cases: everything asked for becomes a case once, everything else is told with its nearest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import PocketbenchError, UnknownNameError
from harness.matrix import Filters, build_cases, split_names
from harness.runtimes import RUNTIMES, parse_runtime
from harness.schedule import EFFORTS, find_effort, shuffled
from harness.spec import PRECISIONS, Model, TensorSpec


def model(name, **changes):
    given = {
        "name": name,
        "source": f"file:{name}.onnx",
        "sha256": "0" * 64,
        "feed": "text_line",
        "inputs": (TensorSpec(name="x", shape=(1, 3)),),
    }
    return Model(**{**given, **changes})


ZOO = {name: model(name, default=name != "heavy") for name in ("ppocr_det", "ppocr_rec", "heavy")}
BACKENDS = sorted({backend for runtime in RUNTIMES.values() for backend in runtime.backends})


def subsets(names):
    return st.lists(st.sampled_from(sorted(names)), unique=True).map(tuple)


filters = st.builds(
    Filters,
    models=subsets(ZOO),
    runtimes=subsets(RUNTIMES),
    precisions=subsets(PRECISIONS),
    threads=st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True).map(tuple),
    backends=subsets(BACKENDS),
)


@given(filters)
def test_every_case_is_asked_for_and_there_once(asked):
    cases = build_cases(ZOO, asked)
    assert len(set(cases)) == len(cases) == len({case.key for case in cases})
    for case in cases:
        assert case.model in (asked.models or ZOO)
        assert case.runtime in (asked.runtimes or RUNTIMES)
        assert case.precision in (asked.precisions or RUNTIMES[case.runtime].default_precisions)
        assert case.threads in asked.threads
        assert case.backend in RUNTIMES[case.runtime].backends
        assert case.runtime_version == RUNTIMES[case.runtime].default_version


@given(filters)
def test_everything_asked_for_is_in_some_case(asked):
    cases = build_cases(ZOO, asked)
    assert {case.model for case in cases} == set(asked.models or ("ppocr_det", "ppocr_rec"))
    assert {case.runtime for case in cases} == set(asked.runtimes or RUNTIMES)
    assert {case.threads for case in cases} == set(asked.threads)
    assert set(asked.precisions) <= {case.precision for case in cases}


@given(filters, st.integers())
def test_the_seed_alone_decides_the_order(asked, seed):
    cases = build_cases(ZOO, asked)
    assert shuffled(cases, seed) == shuffled(cases[::-1], seed)
    assert sorted(shuffled(cases, seed)) == sorted(cases)


def test_another_seed_is_another_order():
    cases = build_cases(ZOO, Filters())
    assert len({tuple(shuffled(cases, seed)) for seed in range(20)}) > 15


@given(st.lists(st.lists(st.text("ab @._-", max_size=6), max_size=4).map(",".join), max_size=4))
def test_split_names_are_stripped_unique_and_in_order(values):
    names = split_names(values)
    assert all(name and name == name.strip() for name in names)
    assert len(set(names)) == len(names)
    assert split_names([",".join(names)]) == names


def test_lists_and_repeated_options_are_the_same():
    assert split_names(["a, b", "c,,a"]) == split_names(["a", "b", "c"]) == ("a", "b", "c")
    assert split_names(None) == split_names([]) == split_names(["", " , "]) == ()


def test_models_that_are_no_default_are_measured_when_named():
    assert {case.model for case in build_cases(ZOO, Filters(models=("heavy",)))} == {"heavy"}


def test_a_size_that_is_to_be_filled_in_refuses_its_model_and_no_other():
    zoo = {**ZOO, "open": model("open", default=False, inputs=(TensorSpec(name="x", shape=(1, 0)),))}
    assert build_cases(zoo, Filters()) == build_cases(ZOO, Filters())
    with pytest.raises(PocketbenchError, match=r"model open: the input 'x' has the shape \[1, 0\]; 0 stands"):
        build_cases(zoo, Filters(models=("ppocr_det", "open")))


def test_a_zoo_without_defaults_and_no_name_is_an_error_that_says_what_to_do():
    with pytest.raises(PocketbenchError, match="name one with --model"):
        build_cases({"heavy": ZOO["heavy"]}, Filters())


def test_a_precision_that_a_runtime_lacks_is_still_a_case_so_that_the_report_says_so():
    cases = build_cases(ZOO, Filters(models=("ppocr_det",), precisions=("bf16",)))
    assert {case.runtime for case in cases} == set(RUNTIMES)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Filters(models=("ppocr_dte",)), "unknown model 'ppocr_dte'. Did you mean ppocr_det"),
        (Filters(models=("nope",)), "unknown model 'nope'. Known: heavy, ppocr_det, ppocr_rec."),
        (Filters(models=("ppocr_det", "hevy")), "unknown model 'hevy'. Did you mean heavy?"),
        (Filters(runtimes=("ncn",)), "unknown runtime 'ncn'. Did you mean ncnn"),
        (Filters(runtimes=("NCNN@1",)), "unknown runtime 'NCNN'. Known: mnn, ncnn"),
        (Filters(precisions=("fp61",)), "unknown precision 'fp61'. Did you mean fp16"),
        (Filters(precisions=("int7",)), "unknown precision 'int7'. Did you mean int8"),
        (Filters(backends=("moble",)), "unknown backend 'moble'. Did you mean mobile?"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_and_the_known(asked, told):
    with pytest.raises(UnknownNameError) as error:
        build_cases(ZOO, asked)
    assert str(error.value).startswith(told)
    assert "Known: " in str(error.value)


@pytest.mark.parametrize(("name", "near"), [("quik", "quick"), ("night", "nightly"), ("stndard", "standard")])
def test_an_unknown_effort_is_told_with_the_nearest(name, near):
    with pytest.raises(UnknownNameError, match=f"unknown effort '{name}'. Did you mean {near}"):
        find_effort(name)
    assert find_effort(near) is EFFORTS[near]


@given(st.sampled_from(sorted(RUNTIMES)), st.text("0123456789.rc+", min_size=1))
def test_a_runtime_is_parsed_with_its_version(name, version):
    runtime, parsed = parse_runtime(f"{name}@{version}")
    assert (runtime.name, parsed) == (name, version)
    assert all("{" not in requirement for requirement in runtime.packages(parsed))
    assert parse_runtime(name) == (runtime, runtime.default_version)


def test_a_version_is_cut_at_the_first_at_sign_and_must_be_there():
    with pytest.raises(PocketbenchError, match="has an @ and no version: write ncnn or ncnn@VERSION"):
        parse_runtime("ncnn@")
    with pytest.raises(UnknownNameError, match="unknown runtime ''"):
        parse_runtime("@1.0")


def test_two_versions_of_a_runtime_are_two_cases():
    default = RUNTIMES["ncnn"].default_version
    asked = Filters(models=("ppocr_det",), runtimes=("ncnn", "ncnn@1.0"), precisions=("fp32",))
    assert [case.engine for case in build_cases(ZOO, asked)] == [f"ncnn@{default}", "ncnn@1.0"]


def test_a_runtime_named_with_and_without_its_default_version_is_one_case():
    default = RUNTIMES["ncnn"].default_version
    asked = Filters(models=("ppocr_det",), runtimes=("ncnn", f"ncnn@{default}"), precisions=("fp32",))
    assert len(build_cases(ZOO, asked)) == 1
