"""Bundles for real platforms: real wheels, on this machine and for another processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bundle_samples import (
    AARCH64,
    NCNN,
    ONNXRUNTIME,
    PADDLELITE,
    board,
    interpreter,
    machines,
    made_for,
    without_python,
)

from devices.facts import Interpreter
from devices.local import LocalDevice
from harness.bundles import wheel_bundle
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.interpreters import find_python
from harness.launch import Files, runner_tree, stage
from harness.models.zoo import load_zoo
from harness.platforms import HOST
from harness.preparation import Wanted, make_all_ready
from harness.spec import Case

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def on_arm():
    return made_for(NCNN, board(interpreter("3.11")))


def test_this_machine_gets_wheels_for_its_own_python_as_ever():
    made = made_for(NCNN, HOST)
    assert (made.info.kind, made.info.platform, made.info.python) == ("wheel", "host", "3.11")
    assert made.python == str(find_python("3.11"))
    assert made.info.packages["numpy"] == "2.4.6"
    assert made.environment == {}
    assert made == wheel_bundle(Cache(), NCNN, NCNN.default_version)


def test_a_board_gets_wheels_for_its_processor_and_its_own_python(on_arm):
    assert (on_arm.info.kind, on_arm.info.platform, on_arm.info.python) == (
        "wheel",
        "aarch64-manylinux_2_36",
        "3.11",
    )
    assert machines(on_arm.path / "site") == {AARCH64}
    assert on_arm.command("/x")[0] == "/opt/py 311/bin/python"


def test_a_boards_wheels_are_compiled_beforehand_and_its_launches_compile_nothing(on_arm):
    sources = list((on_arm.path / "site" / "ncnn").glob("*.py"))
    compiled = (on_arm.path / "site" / "ncnn").glob("__pycache__/*.cpython-311.pyc")
    flags = {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled}
    assert sources
    assert flags == {0b01}, "by hash and unchecked (PEP 552): a board's clock means nothing"
    assert on_arm.variables("/x") == {"PYTHONDONTWRITEBYTECODE": "1"}


def test_two_boards_with_their_python_in_different_places_share_a_bundle(on_arm):
    elsewhere = Interpreter(path="/usr/bin/python3", version="3.11", soabi="cpython-311-aarch64-linux-gnu")
    other = made_for(NCNN, board(elsewhere))
    assert (other.path, other.digest) == (on_arm.path, on_arm.digest)
    assert other.python == "/usr/bin/python3"


def test_numpy_is_the_one_that_exists_for_the_boards_python():
    made = made_for(NCNN, board(interpreter("3.9"), libc="glibc 2.31"))
    assert (made.info.kind, made.info.python) == ("wheel", "3.9")
    assert made.info.packages["numpy"] == "2.0.2"
    assert PADDLELITE.packages("2.13rc0", "3.8")[-1] == "numpy==1.24.4"
    assert {PADDLELITE.packages("2.13rc0", version)[-1] for version in ("3.9", "3.10")} == {"numpy==1.26.4"}


def test_an_interpreter_without_a_wheel_is_passed_over_for_one_that_has_one():
    made = made_for(NCNN, board(interpreter("3.13"), interpreter("3.9"), libc="glibc 2.31"))
    assert made.info.python == "3.13", "the newest first"
    with_preferred = board(interpreter("3.13"), interpreter("3.9"), interpreter("3.11"), libc="glibc 2.36")
    assert made_for(NCNN, with_preferred).info.python == "3.11"
    only_one_fits = board(interpreter("3.11", "riscv64-linux-gnu"), interpreter("3.9"), libc="glibc 2.31")
    assert made_for(NCNN, only_one_fits).info.python == "3.9"


def test_a_board_whose_only_python_has_no_wheel_takes_a_python_along():
    old = board(interpreter("3.9"), libc="glibc 2.31")
    with pytest.raises(UnsupportedError, match=r"Python 3\.9 \(/opt/py 39/bin/python\): .*cp39"):
        wheel_bundle(Cache(), ONNXRUNTIME, ONNXRUNTIME.default_version, old)
    made = made_for(ONNXRUNTIME, old)
    assert (made.info.kind, made.info.platform) == ("portable", "linux-aarch64")
    assert made.python is None


def test_a_bundle_that_could_not_be_compiled_is_another_one_and_says_so(tmp_path, monkeypatch):
    cache, platform = Cache(tmp_path), board(interpreter("3.9"), libc="glibc 2.31")
    with monkeypatch.context() as patched:
        without_python(patched, "3.9")
        plain = wheel_bundle(cache, NCNN, NCNN.default_version, platform)
    assert not plain.info.compiled
    assert not list((plain.path / "site" / "ncnn").rglob("*.pyc"))
    compiled = wheel_bundle(cache, NCNN, NCNN.default_version, platform)
    assert compiled.info.compiled
    assert list((compiled.path / "site" / "ncnn").rglob("*.pyc"))
    assert len({plain.info.key, compiled.info.key}) == len({plain.digest, compiled.digest}) == 2
    with monkeypatch.context() as patched:
        without_python(patched, "3.9")
        assert wheel_bundle(cache, NCNN, NCNN.default_version, platform) == compiled, "it is there"


@pytest.mark.parametrize("version", ["3.6", "3.7"])
def test_a_python_too_old_for_the_runner_is_none(version):
    with pytest.raises(UnsupportedError, match=rf"no Python 3\.8 or newer, only {version}"):
        wheel_bundle(Cache(), NCNN, NCNN.default_version, board(interpreter(version)))


def test_a_runtime_without_a_wheel_for_the_processor_is_told_with_what_to_do():
    with pytest.raises(UnsupportedError) as told:
        made_for(PADDLELITE, board(interpreter("3.11")))
    text = str(told.value)
    assert text.startswith("paddlelite 2.13rc0 has no wheel for aarch64 with glibc 2.36: ")
    assert "manylinux1_x86_64" in text, "what there is instead"
    assert text.endswith(
        "supply a `binary` bundle with --bundle DIR (docs/runtimes.md says how to write one)"
    )
    assert type(told.value) is UnsupportedError, "the platform's lack, not a model's"


def test_the_command_line_says_which_kind_a_device_gets_and_where_it_lies():
    command = [sys.executable, "-c", "from harness.cli import main; main()", "bundles", "build", "ncnn"]
    printed = [subprocess.check_output([*command, *more], text=True) for more in ([], ["--device", "local"])]
    path = made_for(NCNN, HOST).path
    assert printed == [f"ncnn@{NCNN.default_version}  wheel host 3.11  {path}\n"] * 2


def test_one_case_for_two_platforms_shares_everything_but_its_bundle(on_arm):
    zoo = PROJECT / "suites" / "zoo.toml"
    cases = [
        Case(
            model="ppocr_cls", runtime=r.name, runtime_version=r.default_version, precision="fp32", threads=1
        )
        for r in (NCNN, PADDLELITE)
    ]
    platforms = [HOST, board(interpreter("3.11"))]
    wanted = [Wanted(case=case, platform=platform) for case in cases for platform in platforms]
    told = []
    made = make_all_ready(
        Cache(), load_zoo(zoo), zoo.parent, [*wanted, *wanted], report=lambda *given: told.append(given)
    )
    assert made.keys() == set(wanted)
    assert sorted(told, key=lambda given: given[1:]) == told
    assert [case for case, _, _ in told].count(cases[0]) == 2
    here, there, paddle_here, paddle_there = (made[one] for one in wanted)
    assert (here.artifact, here.reference, here.feed) == (there.artifact, there.reference, there.feed)
    assert there.bundle == on_arm != here.bundle
    assert paddle_here.bundle.info.platform == "host"
    assert type(paddle_there) is UnsupportedError


class Board(LocalDevice):
    """This machine as a device that has files only once they were sent, in an awkward place."""

    def stage(self, local, digest, *, progress=None):
        target = f"{self.workdir}/store/{digest[:8]}"
        self.push(local, target)
        return target


def test_a_bundle_is_launched_from_where_it_lies_on_the_device(tmp_path):
    own = find_python("3.11")
    soabi = subprocess.check_output(
        [own, "-c", "import sysconfig; print(sysconfig.get_config_var('SOABI'))"], text=True
    ).strip()
    found = Interpreter(path=str(own), version="3.11", soabi=soabi)
    bundle = made_for(NCNN, board(found, arch=os.uname().machine))
    (tmp_path / "empty").mkdir()
    nothing = Files(path=tmp_path / "empty", digest="f" * 64, names={})
    with Board("b", str(tmp_path / 'it\'s a "board" {python}'), exclusive=False) as device:
        staged = stage(
            device,
            runner=runner_tree(Cache()),
            bundle=bundle,
            artifact=nothing,
            feed=nothing,
            inputs=(),
            environment=NCNN.variables(1),
        )
        before = set(Path(device.workdir).rglob("*"))
        code = "import ncnn, runner.timing; print(ncnn.__file__); print(runner.__file__)"
        done = device.run([*staged.command[:-2], "-c", code], env=staged.environment)
        assert set(Path(device.workdir).rglob("*")) == before, "nothing is written into what is staged"
        assert done.stdout.decode().splitlines() == [
            f"{device.workdir}/store/{bundle.digest[:8]}/site/ncnn/__init__.py",
            f"{device.workdir}/store/{runner_tree(Cache()).digest[:8]}/runner/__init__.py",
        ], done.stderr
