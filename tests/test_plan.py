"""Plans: names of targets, the seeded order, known deviations, and what is asked for wrongly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import DeviceError
from harness.errors import PocketbenchError
from harness.matrix import Filters
from harness.plan import Ask, make_plan
from harness.runtimes import RUNTIMES
from harness.spec import Case

ZOO = f"""
[models.ppocr_det]
source = "file:det.onnx"
sha256 = "{0:064}"
feed = "text_page"
inputs = [{{ name = "x", shape = [1, 3, 32, 32] }}]

[models.ppocr_rec]
source = "file:rec.onnx"
sha256 = "{0:064}"
feed = "text_line"
inputs = [{{ name = "x", shape = [1, 3, 48, 320] }}]
"""

KNOWN = """
[[known]]
model = "ppocr_rec"
runtime = "ncnn"
precision = "fp16"
expect = "parity"
reason = "its softmax overflows"
evidence = "run 1"
"""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    path = tmp_path_factory.mktemp("suites") / "zoo.toml"
    path.write_text(ZOO)
    path.with_name("expectations.toml").write_text(KNOWN)
    return path


def plan(zoo, *, seed=0, devices=("local",), effort="quick", device_dirs=(), **filters):
    return make_plan(
        Ask(
            zoo=zoo,
            devices=devices,
            device_dirs=device_dirs,
            filters=Filters(**filters),
            effort=effort,
            seed=seed,
        )
    )


def case(**changes):
    given = {
        "model": "ppocr_rec",
        "runtime": "ncnn",
        "runtime_version": RUNTIMES["ncnn"].default_version,
        "precision": "fp16",
        "threads": 1,
    }
    return Case(**{**given, **changes})


def ids(plan):
    return [plan.target_id(target) for target in plan.targets]


@pytest.fixture
def boards(tmp_path):
    for name in ("board-a", "board-b"):
        (tmp_path / f"{name}.toml").write_text('driver = "local"\n')
    return tmp_path


def test_a_target_is_called_by_device_model_runtime_precision_and_threads(zoo):
    made = plan(zoo, models=("ppocr_det",), runtimes=("ncnn",), precisions=("fp16",), threads=(4,))
    assert ids(made) == ["local-ppocr_det-ncnn-fp16-t4"]


def test_the_version_is_in_the_name_when_it_is_not_the_default(zoo):
    made = plan(zoo, models=("ppocr_det",), runtimes=("ncnn@1.0",), precisions=("fp32",))
    assert ids(made) == ["local-ppocr_det-ncnn@1.0-fp32-t1"]


def test_the_version_is_in_every_name_when_there_are_several(zoo):
    default = RUNTIMES["ncnn"].default_version
    made = plan(zoo, models=("ppocr_det",), runtimes=("ncnn", "ncnn@1.0", "mnn"), precisions=("fp32",))
    assert sorted(ids(made)) == [
        "local-ppocr_det-mnn-fp32-t1",
        f"local-ppocr_det-ncnn@{default}-fp32-t1".replace(default, min(default, "1.0")),
        f"local-ppocr_det-ncnn@{default}-fp32-t1".replace(default, max(default, "1.0")),
    ]


def test_the_backend_is_in_the_name_when_it_is_not_the_first(zoo):
    made = plan(zoo, models=("ppocr_det",), runtimes=("paddlelite",), backends=("cpu", "mobile"))
    assert sorted(ids(made)) == [
        "local-ppocr_det-paddlelite-fp32-t1",
        "local-ppocr_det-paddlelite-fp32-t1-mobile",
    ]


def test_no_two_targets_have_the_same_name(zoo, boards):
    made = plan(
        zoo,
        devices=("local", "board-a", "board-b"),
        device_dirs=(boards,),
        runtimes=("ncnn", "ncnn@1.0", "onnxruntime", "paddlelite", "mnn@3.0"),
        threads=(1, 2, 12),
        backends=("cpu", "mobile"),
    )
    assert len(set(ids(made))) == len(made.targets) == len(set(made.targets))


@given(st.integers(0, 2**31))
def test_the_seed_decides_the_order_and_nothing_else(zoo, seed):
    once, again, other = plan(zoo, seed=seed), plan(zoo, seed=seed), plan(zoo, seed=seed + 1)
    assert once.targets == again.targets
    assert sorted(once.targets) == sorted(other.targets)


def test_another_seed_is_another_order_and_every_device_has_the_same(zoo, boards):
    made = [plan(zoo, seed=seed, devices=("board-a", "board-b"), device_dirs=(boards,)) for seed in range(20)]
    assert len({tuple(one.targets) for one in made}) > 15
    for one in made:
        first, second = ([t.case for t in one.targets if t.device == d] for d in ("board-a", "board-b"))
        assert first == second


def test_a_known_deviation_is_about_its_case_alone(zoo):
    made = plan(zoo)
    assert made.expectation(case()).reason == "its softmax overflows"
    assert made.expectation(case(threads=4)) is not None
    for other in (
        {"model": "ppocr_det"},
        {"runtime": "mnn", "runtime_version": RUNTIMES["mnn"].default_version},
        {"precision": "fp32"},
    ):
        assert made.expectation(case(**other)) is None


def test_a_known_deviation_is_about_every_backend_unless_it_names_one(zoo, tmp_path):
    assert plan(zoo).expectation(case(backend="vulkan")) is not None
    (tmp_path / "zoo.toml").write_text(ZOO)
    (tmp_path / "expectations.toml").write_text(f'{KNOWN}backend = "vulkan"\n')
    made = plan(tmp_path / "zoo.toml")
    assert made.expectation(case(backend="vulkan")) is not None
    assert made.expectation(case(backend="cpu")) is None


def test_a_known_deviation_is_about_the_default_version_only(zoo):
    made = plan(zoo, runtimes=("ncnn", "ncnn@1.0"))
    assert made.expectation(case(runtime_version="1.0")) is None
    assert made.expectation(case()) is not None


def test_a_zoo_without_expectations_expects_nothing(tmp_path):
    (tmp_path / "zoo.toml").write_text(ZOO)
    assert plan(tmp_path / "zoo.toml").expectation(case()) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"models": ("ppocr_dt",)}, "unknown model 'ppocr_dt'. Did you mean ppocr_det"),
        ({"runtimes": ("onnxrt",)}, "unknown runtime 'onnxrt'. Did you mean onnxruntime"),
        ({"precisions": ("fp",)}, "unknown precision 'fp'. Did you mean"),
        ({"backends": ("gpu",)}, "unknown backend 'gpu'"),
        ({"effort": "quik"}, "unknown effort 'quik'. Did you mean quick"),
        ({"devices": ()}, "no device to measure on: name one with --device"),
    ],
)
def test_what_is_asked_wrongly_is_told_before_anything_is_made(zoo, changes, told):
    with pytest.raises(PocketbenchError) as error:
        plan(zoo, **changes)
    assert str(error.value).startswith(told)


def test_an_unknown_device_is_told_with_the_nearest(zoo, boards):
    with pytest.raises(DeviceError, match=r"unknown device 'board-c'.*board-a"):
        plan(zoo, devices=("board-c",), device_dirs=(boards,))


def test_no_zoo_is_told_with_where_it_was_looked_for(tmp_path):
    with pytest.raises(PocketbenchError) as error:
        plan(tmp_path / "zoo.toml")
    assert str(error.value).startswith(f"no zoo at {tmp_path / 'zoo.toml'}: name one with --zoo")


def test_an_expectation_of_a_model_that_is_not_in_the_zoo_is_told_with_its_line(tmp_path):
    (tmp_path / "zoo.toml").write_text(ZOO)
    (tmp_path / "expectations.toml").write_text(KNOWN.replace("ppocr_rec", "ppocr_rek"))
    with pytest.raises(PocketbenchError, match=r"expectations\.toml:2 .*\n?.*Did you mean ppocr_rec"):
        plan(tmp_path / "zoo.toml")
