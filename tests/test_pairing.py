"""Two runners alternated on a device: real processes, and what becomes of them when something goes wrong."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from samples import case

from devices.base import DeviceError, TransientDeviceError
from devices.local import LocalDevice
from harness import pairing
from harness.arm import Arm
from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.launch import Staged, runner_tree
from harness.pairing import measure_against, run_pair
from harness.schedule import EFFORTS
from harness.spec import BundleInfo, Job

ANSWERS = """
import json, os, sys
with open({environment!r}, "w") as stream:
    json.dump(dict(os.environ), stream)
print(json.dumps({{"ready": True}}), flush=True)
for line in sys.stdin:
    count = json.loads(line)["iterations"]
    print(json.dumps({{"samples_ns": [{sample}] * min(count, 5)}}), flush=True)
"""
JOB = Job(runtime="ncnn", backend="cpu", precision="fp32", threads=1, files={}, inputs=(), outputs=())
BUNDLE = BundleInfo(
    key="k", kind="wheel", runtime="ncnn", version="1", platform="linux", python="3.11", packages={}
)


class Watched(LocalDevice):
    """This machine with faults: `faults` are raised by the runs to come, None lets one pass."""

    def __init__(self, name, workdir):
        super().__init__(name, workdir, exclusive=False)
        self.faults, self.timeouts, self.keeps_folders = [], [], False

    def run(self, argv, **options):
        self.timeouts.append(options["timeout_s"])
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        return super().run(argv, **options)

    def remove(self, remote):
        super().remove(remote)
        if self.keeps_folders:
            raise DeviceError("the folder cannot be removed")


@pytest.fixture
def device(tmp_path):
    with Watched("bench", str(tmp_path / "work")) as opened:
        yield opened
        assert list(Path(opened.workdir, "launches").iterdir()) == [], "a pair left its folder behind"


@pytest.fixture
def arm(tmp_path):
    parent = {"PYTHONPATH": str(runner_tree(Cache()).path)}

    def make(name, *, sample=1_000_000, python=(sys.executable,), **environment):
        program = tmp_path / f"{name}.py"
        program.write_text(ANSWERS.format(sample=sample, environment=str(tmp_path / f"{name}.json")))
        given = {**(parent if python else {}), **environment}
        staged = Staged(command=(sys.executable, str(program)), environment=given, files={}, inputs=())
        return Arm(staged=staged, job=JOB, python=python)

    return make


@pytest.fixture
def alternated(device, monkeypatch):
    """`measure_against` with arms that are staged already; counts how often they were staged."""

    def measure(ours, theirs, **options):
        staged = []
        ready = {"a": ours, "b": theirs}

        def make_arm(_device, of, *_rest, **_options):
            staged.append(of.name)
            return ready[of.name]

        monkeypatch.setattr(pairing, "make_arm", make_arm)
        one, other = (
            SimpleNamespace(
                name=name,
                case=case(runtime_version=name),
                artifact=SimpleNamespace(record=None),
                bundle=SimpleNamespace(info=BUNDLE),
            )
            for name in ready
        )
        effort = EFFORTS["quick"]
        effort = type(effort)(**{**{f: getattr(effort, f) for f in effort.__struct_fields__}, "pair_s": 0.05})
        return measure_against(device, one, other, effort, None, **options), staged

    return measure


def seen(tmp_path, name):
    return json.loads((tmp_path / f"{name}.json").read_text())


def test_each_arm_s_samples_are_its_own_whichever_is_started_first(device, arm):
    ours, theirs = arm("ours", sample=2_000_000), arm("theirs", sample=1_000_000)
    for swapped in (False, True):
        pair = run_pair(device, ours, theirs, seconds=0.05, swapped=swapped)
        assert {ns for block in pair.candidate_ns for ns in block} == {2_000_000}
        assert {ns for block in pair.against_ns for ns in block} == {1_000_000}


@pytest.mark.parametrize("swapped", [False, True])
def test_what_is_set_for_one_arm_s_python_does_not_reach_the_other(device, arm, tmp_path, swapped):
    portable = arm("portable", PYTHONHOME=sys.base_prefix, OMP_NUM_THREADS="1")
    binary = arm("binary", python=None, OMP_NUM_THREADS="4")
    run_pair(device, portable, binary, seconds=0.05, swapped=swapped)
    assert seen(tmp_path, "portable")["PYTHONHOME"] == sys.base_prefix
    assert not {"PYTHONHOME", "PYTHONPATH"} & seen(tmp_path, "binary").keys()
    assert (seen(tmp_path, "portable")["OMP_NUM_THREADS"], seen(tmp_path, "binary")["OMP_NUM_THREADS"]) == (
        "1",
        "4",
    )
    assert seen(tmp_path, "binary")["PATH"]


@pytest.mark.parametrize(
    ("sample", "told"), [("0.5", "alternating gave what cannot be read: .*float"), ("-1", "cannot be read")]
)
def test_samples_that_are_none_are_the_pairing_s_reason_and_no_exception(alternated, arm, sample, told):
    against, _ = alternated(arm("ours", sample=sample), arm("theirs"))
    assert against.pairs == ()
    with pytest.raises(PocketbenchError, match=told):
        raise PocketbenchError(against.reason)


def test_an_arm_that_dies_is_told_in_its_own_words(alternated, arm):
    dead = arm("dead", sample="1/0")
    against, _ = alternated(dead, arm("theirs"))
    assert against.reason == "alternating failed: ZeroDivisionError: division by zero"


def test_a_lost_connection_costs_one_more_staging_and_no_pair(device, alternated, arm):
    device.faults = [None, TransientDeviceError("bench: connection lost")]
    progress = []
    against, staged = alternated(
        arm("ours"), arm("theirs"), progress=lambda done, total: progress.append((done, total))
    )
    assert (len(against.pairs), against.reason) == (2, "")
    assert staged == ["a", "b"] * 2
    assert progress == [(1, 2), (2, 2)]


def test_pairs_before_the_device_was_lost_for_good_are_kept(device, alternated, arm, monkeypatch):
    monkeypatch.setattr("harness.schedule.time.sleep", lambda _seconds: None)
    device.faults = [None, *[TransientDeviceError("bench: connection lost")] * 9]
    against, _ = alternated(arm("ours"), arm("theirs"))
    assert (len(against.pairs), against.reason) == (1, "bench: connection lost")


def test_a_folder_that_cannot_be_removed_does_not_cost_the_pair(device, alternated, arm):
    device.keeps_folders = True
    against, _ = alternated(arm("ours"), arm("theirs"))
    assert (len(against.pairs), against.reason) == (2, "")


def test_two_launches_may_take_as_long_as_two_launches(device, alternated, arm):
    alternated(arm("ours"), arm("theirs"), launch_timeout_s=300.0)
    assert min(device.timeouts) >= 600.0
