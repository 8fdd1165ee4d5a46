"""Bundles for real platforms: real wheels, a real Python for another processor, and what cannot be had."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from devices.facts import Interpreter
from devices.local import LocalDevice
from harness.bundles import bundle_for, bytecode, pip, portable_bundle, wheel, wheel_bundle
from harness.bundles.apt import Apt
from harness.bundles.pip import pip_install
from harness.cache import Cache
from harness.environments import Packages
from harness.errors import PocketbenchError, UnsupportedError
from harness.interpreters import find_python
from harness.launch import Files, runner_tree, stage
from harness.models.zoo import load_zoo
from harness.platforms import HOST, Platform
from harness.preparation import Wanted, make_all_ready
from harness.runtimes import RUNTIMES
from harness.spec import Case

PROJECT = Path(__file__).parent.parent
AARCH64, ARM = 183, 40
QEMU = "qemu-aarch64-static"
NCNN, ONNXRUNTIME, PADDLELITE = (RUNTIMES[name] for name in ("ncnn", "onnxruntime", "paddlelite"))


def interpreter(version, triplet="aarch64-linux-gnu"):
    digits = version.replace(".", "")
    return Interpreter(
        path=f"/opt/py {digits}/bin/python", version=version, soabi=f"cpython-{digits}-{triplet}"
    )


def board(*interpreters, arch="aarch64", libc="glibc 2.36"):
    return Platform(arch=arch, libc=libc, interpreters=interpreters)


def made_for(runtime, platform, cache=None, supplied=()):
    return bundle_for(cache or Cache(), runtime, runtime.default_version, platform, supplied)


def machines(folder):
    headers = [path.read_bytes()[:20] for path in folder.rglob("*") if path.is_file() and ".so" in path.name]
    return {int.from_bytes(header[18:20], "little") for header in headers if header[:4] == b"\x7fELF"}


@pytest.fixture(scope="module")
def on_arm():
    return made_for(NCNN, board(interpreter("3.11")))


@pytest.fixture(scope="module")
def carried():
    missing = [tool for tool in ("apt-get", "dpkg-deb", QEMU) if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here")
    return portable_bundle(Cache(), NCNN, NCNN.default_version, board())


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


def counted(monkeypatch):
    """Names of what was asked of the index, as it is."""
    asked = []
    for module in (wheel, pip):
        run = module.__dict__.get("install") or module.__dict__["run_installer"]

        def noting(*arguments, _run=run, **options):
            asked.append(arguments)
            return _run(*arguments, **options)

        monkeypatch.setattr(module, "install" if module is wheel else "run_installer", noting)
    return asked


def test_an_index_without_a_wheel_is_asked_once(tmp_path, monkeypatch):
    asked = counted(monkeypatch)
    arm = board(*(interpreter(version) for version in ("3.11", "3.9")))
    told = []
    for _ in range(2):
        with pytest.raises(UnsupportedError) as refused:
            wheel_bundle(Cache(tmp_path), PADDLELITE, PADDLELITE.default_version, arm)
        told.append(str(refused.value))
        assert type(refused.value) is UnsupportedError, "the platform's lack, not a model's"
    assert told[0] == told[1]
    assert len(asked) == 2, "once for each interpreter"
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    with pytest.raises(UnsupportedError):
        wheel_bundle(Cache(tmp_path), PADDLELITE, PADDLELITE.default_version, arm)
    assert len(asked) == 4, "another place may have it"
    with pytest.raises(UnsupportedError):
        wheel_bundle(Cache(tmp_path, ask_again=True), PADDLELITE, PADDLELITE.default_version, arm)
    assert len(asked) == 6, "as `pocketbench bundles` does"


def test_an_index_for_32_bit_arm_without_a_wheel_is_asked_once(tmp_path, monkeypatch):
    asked = counted(monkeypatch)
    arm = board(interpreter("3.11", "arm-linux-gnueabihf"), arch="armv7l")
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="onnxruntime=="):
            wheel_bundle(Cache(tmp_path), ONNXRUNTIME, ONNXRUNTIME.default_version, arm)
    assert len(asked) == 1


def test_what_the_host_itself_cannot_have_is_its_own_lack_also_when_remembered(tmp_path):
    missing = msgspec.structs.replace(ONNXRUNTIME, requirements=("paddlelite==2.13rc0",))
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="we only found wheels for") as refused:
            wheel_bundle(Cache(tmp_path), missing, "2.13rc0")
        assert type(refused.value) is UnsupportedError
    assert list(tmp_path.glob("bundles/*.failure.json"))


def test_an_index_that_cannot_be_reached_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with pytest.raises(PocketbenchError, match="cannot be reached"):
        wheel_bundle(Cache(tmp_path), NCNN, NCNN.default_version, board(interpreter("3.11")))
    assert not list(tmp_path.glob("bundles/*.failure.json"))


def test_without_a_network_the_bundle_of_a_later_interpreter_is_taken_if_it_is_there(
    tmp_path, monkeypatch, caplog
):
    cache, both = Cache(tmp_path / "cache"), board(interpreter("3.11"), interpreter("3.9"))
    there = wheel_bundle(cache, NCNN, NCNN.default_version, board(interpreter("3.9")))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    assert wheel_bundle(cache, NCNN, NCNN.default_version, both) == there
    assert "the bundle for Python 3.9 is taken instead" in caplog.text
    with pytest.raises(PocketbenchError, match="cannot be reached"):
        wheel_bundle(Cache(tmp_path / "other"), NCNN, NCNN.default_version, both)


def without_python(monkeypatch, version):
    """A machine that has no CPython of this version to compile with."""

    def find(wanted):
        if wanted == version:
            raise UnsupportedError(f"no Python {version} on this machine")
        return find_python(wanted)

    monkeypatch.setattr(bytecode, "find_python", find)


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


def test_a_carried_python_that_could_not_be_compiled_is_another_one_and_says_so(
    carried, tmp_path, monkeypatch
):
    shared = Cache().root / "portable"
    (tmp_path / "portable").mkdir()
    for entry in shared.iterdir():
        if entry.is_dir():
            shutil.copytree(entry, tmp_path / "portable" / entry.name)
    cache = Cache(tmp_path)
    assert carried.info.compiled
    with monkeypatch.context() as patched:
        without_python(patched, carried.info.python)
        plain = portable_bundle(cache, NCNN, NCNN.default_version, board())
    assert not plain.info.compiled
    assert plain.info.key != carried.info.key


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


def test_a_carried_python_runs_on_nothing_but_the_bundle(carried):
    assert machines(carried.path / "site") == machines(carried.path / "lib") == {AARCH64}
    command, path = carried.command(str(carried.path)), carried.path
    code = "import ncnn, numpy as n, sys; print(n.arange(3.0).sum(), ncnn.__version__, sys.prefix)"
    done = subprocess.run(
        [QEMU, *command[:-2], "-c", code],
        # No more than this: no system for ARM is installed here.
        env={"PYTHONPATH": str(path / "site"), **carried.variables(str(path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["3.0", NCNN.default_version, str(path)], done.stderr


def test_a_carried_python_is_small_and_says_what_it_is_made_of(carried):
    assert {"libc6", "libstdc++6", "libgomp1", "zlib1g", "numpy", "ncnn"} <= carried.info.packages.keys()
    own = [*(carried.path / "bin").rglob("*"), *(carried.path / "lib").rglob("*")]
    assert sum(path.stat().st_size for path in own if path.is_file()) < 60 * 2**20
    assert not [path for path in own if path.is_symlink()], "links do not survive every transfer"
    names = {path.name for path in own}
    assert not names & {"test", "idlelib", "ensurepip", "sitecustomize.py", "libssl.so.3"}


def test_without_apt_a_python_cannot_be_carried_and_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UnsupportedError, match="this machine has no apt-get and no apt-cache and no dpkg-deb"
    ):
        made_for(NCNN, board(), Cache(tmp_path / "cache"))


def test_a_package_that_the_sources_do_not_have_is_told_by_name(tmp_path):
    apt = Apt("arm64", tmp_path / "apt")
    with pytest.raises(UnsupportedError, match="no package no-such-package for arm64"):
        apt.show("no-such-package")


def test_sources_that_cannot_be_reached_are_told_as_such(tmp_path, monkeypatch):
    (tmp_path / "sources.list").write_text("deb [trusted=yes] http://127.0.0.1:9/debian any main\n")
    settings = {"Dir::Etc::sourcelist": tmp_path / "sources.list", "Dir::Etc::sourceparts": "/dev/null"}
    lines = [*(f'{name} "{value}";' for name, value in settings.items()), 'Acquire::http::Proxy "DIRECT";']
    (tmp_path / "apt.conf").write_text("\n".join(lines))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    with pytest.raises(PocketbenchError, match="cannot reach this machine's package sources") as told:
        Apt("arm64", tmp_path / "apt").show("libc6")
    assert not isinstance(told.value, UnsupportedError), "it can be had another day"


def wheel_of(folder, name, version, tag):
    """A wheel of one empty module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_32_bit_arm_gets_what_the_users_index_has(tmp_path, monkeypatch):
    wheel_of(tmp_path, "numpy", "2.4.6", "cp311-cp311-linux_armv7l")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    platform = board(interpreter("3.11", "arm-linux-gnueabihf"), arch="armv7l")
    made = made_for(NCNN, platform, Cache(tmp_path / "cache"))
    assert (made.info.kind, made.info.platform) == ("wheel", "armv7l-manylinux_2_36")
    assert made.info.packages == {"ncnn": NCNN.default_version, "numpy": "2.4.6"}
    assert machines(made.path / "site") == {ARM}


def test_a_32_bit_arm_without_a_wheel_is_told_what_is_missing(tmp_path):
    platform = board(interpreter("3.11", "arm-linux-gnueabihf"), arch="armv7l")
    with pytest.raises(UnsupportedError, match=r"no wheel for armv7l.*onnxruntime=="):
        made_for(ONNXRUNTIME, platform, Cache(tmp_path))


def test_an_index_that_pip_cannot_reach_is_no_lack_of_wheels(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    wanted = Packages(
        name="x", requirements=("six==1.17.0",), python="3.11", platform="armv7l-manylinux_2_36"
    )
    with pytest.raises(PocketbenchError, match="the package index cannot be reached") as told:
        pip_install(wanted, tmp_path / "site")
    assert not isinstance(told.value, UnsupportedError)


def test_the_command_line_says_which_kind_a_device_gets_and_where_it_lies():
    command = [sys.executable, "-c", "from harness.cli import main; main()", "bundles", "ncnn"]
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
