"""Binary bundles: a real C runner that is built, checked and launched, and wrong ones that are told."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from devices.facts import Interpreter
from devices.local import LocalDevice
from harness.arm import Arm
from harness.bundles import binary_bundle, bundle_for
from harness.bundles.choice import _fits
from harness.cache import Cache
from harness.errors import PocketbenchError, UnsupportedError
from harness.launch import Files, Staged, launch, load_outputs, runner_tree, stage
from harness.models.zoo import load_zoo
from harness.pairing import run_pair
from harness.platforms import HOST, Platform
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.spec import Case, Job, RunnerResult, TensorSpec, TimingPlan, WarmupPlan

PROJECT = Path(__file__).parent.parent
SOURCE = PROJECT / "tests" / "data" / "c_runner" / "runner.c"
COMPILERS = {"linux-x86_64": "gcc", "linux-aarch64": "aarch64-linux-gnu-gcc"}
QEMU = "qemu-aarch64-static"
FEED = np.array([[-2.0, -0.0, 0.5, 3e38], [np.inf, -np.inf, 1e-45, -1e-45]], "float32")
EXPECTED = np.maximum(FEED, np.float32(0))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The C program by platform, built for each."""
    missing = [tool for tool in (*COMPILERS.values(), QEMU) if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: tests/setup.sh installs what is needed")
    folder = tmp_path_factory.mktemp("built")
    for platform, compiler in COMPILERS.items():
        command = [compiler, "-O2", "-static", "-Wall", "-Wextra", "-Werror", SOURCE, "-o", folder / platform]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture
def folder(tmp_path, built):
    """A bundle for this machine's processor, as its author has it; tests spoil it."""
    return bundle_in(tmp_path / "my bundle", built, "linux-x86_64")


def bundle_in(folder, built, platform):
    folder.mkdir()
    shutil.copy(built / platform, folder / "runner")
    manifest = {
        "schema": 1,
        "kind": "binary",
        "runtime": "ncnn",
        "version": "1.0.20261020",
        "platform": platform,
        "entry": ["{bundle}/runner"],
        "env": {"GREETING": "from {bundle}", "OMP_WAIT_POLICY": "active"},
        "files": {"runner": sha256(folder / "runner")},
    }
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rewrite(folder, **changes):
    path = folder / "bundle.json"
    changed = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in changed.items() if value is not ...}))


def staged_on(device, bundle, tmp_path):
    for name in ("artifact", "feed"):
        (tmp_path / name).mkdir(exist_ok=True)
    np.save(tmp_path / "feed" / 'x "1".npy', FEED)
    return stage(
        device,
        runner=runner_tree(Cache()),
        bundle=bundle,
        artifact=Files(path=tmp_path / "artifact", digest="unused", names={}),
        feed=Files(path=tmp_path / "feed", digest="unused", names={"0": 'x "1".npy'}),
        inputs=(TensorSpec(name="x", shape=FEED.shape),),
        environment=RUNTIMES["ncnn"].variables(1),
    )


def job(staged, **changes):
    given = {
        "runtime": "ncnn",
        "backend": "cpu",
        "precision": "fp32",
        "threads": 1,
        "files": staged.files,
        "inputs": staged.inputs,
        "outputs": (TensorSpec(name='y {"}', shape=FEED.shape),),
        "warmup": WarmupPlan(max_iterations=20),
        "timing": TimingPlan(min_iterations=7, max_iterations=9, target_s=0.0),
    }
    return Job(**{**given, **changes})


@pytest.fixture
def device(tmp_path):
    with LocalDevice("bench", str(tmp_path / "it's a place"), exclusive=False) as opened:
        yield opened


def test_a_c_program_is_launched_end_to_end_and_its_outputs_are_exact(device, folder, tmp_path):
    staged = staged_on(device, binary_bundle(folder), tmp_path)
    done = launch(device, staged, job(staged), outputs=tmp_path / "outputs")
    assert (done.status, done.reason, done.stage) == ("measured", "", "done")
    assert (done.result.runtime, done.result.runtime_version) == ("ncnn", "1.0")
    assert len(done.result.samples_ns) == len(done.result.started_ns) == 7
    assert 3 <= len(done.result.warmup.samples_ns) <= 20
    assert done.result.memory.peak_rss_bytes >= done.result.memory.after_load_rss_bytes > 0
    ((name, array),) = load_outputs(tmp_path / "outputs", done.result.outputs)
    assert name == 'y {"}'
    np.testing.assert_array_equal(array, EXPECTED)
    assert array.dtype == np.float32


def test_an_arm_program_keeps_the_contract_on_an_arm_processor(device, built, tmp_path):
    bundle = binary_bundle(bundle_in(tmp_path / "arm", built, "linux-aarch64"))
    staged = staged_on(device, bundle, tmp_path)
    emulated = msgspec.structs.replace(staged, command=(QEMU, *staged.command))
    done = launch(device, emulated, job(staged), outputs=tmp_path / "outputs")
    assert (done.status, done.reason) == ("measured", "")
    ((_, array),) = load_outputs(tmp_path / "outputs", done.result.outputs)
    np.testing.assert_array_equal(array, EXPECTED)


def test_what_the_c_program_leaves_behind_is_what_the_contract_names(device, folder, tmp_path):
    staged = staged_on(device, binary_bundle(folder), tmp_path)
    place = tmp_path / "launch"
    place.mkdir()
    (place / "job.json").write_bytes(msgspec.json.encode(job(staged)))
    subprocess.run([*staged.command, "job.json"], cwd=place, check=True)
    left = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    assert left == {"job.json", "result.json", "outputs/0.npy", "stage"}
    assert (place / "stage").read_text() == "done"
    result = msgspec.json.decode((place / "result.json").read_bytes(), type=RunnerResult)
    assert result.outputs == (TensorSpec(name='y {"}', shape=FEED.shape),)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff", "ends within its header"),
        (None, "No such file"),
        (FEED.astype("float64"), "is not float32"),
        (np.asfortranarray(FEED), "is not in C order"),
    ],
)
def test_the_c_program_refuses_a_wrong_feed_with_its_reason(device, folder, tmp_path, content, told):
    staged = staged_on(device, binary_bundle(folder), tmp_path)
    feed = Path(staged.inputs[0].file)
    feed.unlink()
    if isinstance(content, bytes):
        feed.write_bytes(content)
    elif content is not None:
        np.save(feed, content)
    done = launch(device, staged, job(staged))
    assert (done.status, done.exit_code, done.stage) == ("failed", 3, "load")
    assert told in done.reason


def test_the_c_program_refuses_a_job_of_another_schema(device, folder, tmp_path):
    staged = staged_on(device, binary_bundle(folder), tmp_path)
    done = launch(device, staged, job(staged, schema=2))
    assert (done.status, done.reason) == ("failed", "this runner reads jobs of schema 1")


def test_a_bundle_that_brings_its_runner_gets_none_of_ours_and_its_environment_wins(device, folder, tmp_path):
    staged = staged_on(device, binary_bundle(folder), tmp_path)
    assert staged.command == (f"{folder}/runner",)
    assert "PYTHONPATH" not in staged.environment
    assert staged.environment["GREETING"] == f"from {folder}"
    assert staged.environment["OMP_WAIT_POLICY"] == "active", "what the author set"
    assert staged.environment["OMP_NUM_THREADS"] == "1", "what the runtime sets"


def test_two_binary_bundles_cannot_be_alternated_and_that_is_told(device):
    staged = Staged(command=("/nowhere/runner",), environment={}, files={}, inputs=())
    arm = Arm(staged=staged, job=job(staged))
    with pytest.raises(PocketbenchError, match="alternating needs a Python on the device"):
        run_pair(device, arm, arm, seconds=0.1, swapped=False)


def test_a_supplied_bundle_wins_where_runtime_version_and_processor_fit(folder):
    supplied, ncnn = binary_bundle(folder), RUNTIMES["ncnn"]
    version = supplied.info.version
    assert bundle_for(Cache(), ncnn, version, HOST, [supplied]) == supplied
    assert bundle_for(Cache(), ncnn, version, Platform(arch="x86_64"), [supplied]) == supplied
    assert bundle_for(Cache(), ncnn, "1.0.20260526", HOST, [supplied]).info.kind == "wheel"
    onnxruntime = RUNTIMES["onnxruntime"]
    assert (
        bundle_for(Cache(), onnxruntime, onnxruntime.default_version, HOST, [supplied]).info.kind == "wheel"
    )


def test_a_32_bit_bundle_fits_a_32_bit_system_under_a_64_bit_kernel(folder):
    (folder / "runner").write_text("#!/bin/sh\n")
    rewrite(folder, platform="linux-armv7l", files={"runner": sha256(folder / "runner")})
    supplied = binary_bundle(folder)
    soabi = "cpython-311-arm-linux-gnueabihf"
    found = Interpreter(path="/usr/bin/python3", version="3.11", soabi=soabi)
    board = Platform(arch="aarch64", libc="glibc 2.36", interpreters=(found,))
    assert bundle_for(Cache(), RUNTIMES["ncnn"], supplied.info.version, board, [supplied]) == supplied


def for_platform(folder, platform):
    (folder / "runner").write_text("#!/bin/sh\n")
    rewrite(folder, platform=platform, files={"runner": sha256(folder / "runner")})
    return binary_bundle(folder)


@pytest.mark.parametrize(
    ("built_for", "kernel", "bits", "fits"),
    [
        ("linux-armv7l", "aarch64", 32, True),
        ("linux-armv6l", "aarch64", 32, True),
        ("linux-armv6l", "armv7l", 32, True),
        ("linux-i686", "x86_64", 32, True),
        ("linux-armv7l", "armv7l", None, True),
        ("linux-aarch64", "aarch64", 32, True),
        ("linux-armv7l", "aarch64", 64, False),
        ("linux-armv7l", "aarch64", None, False),
        ("linux-armv7l", "armv6l", 32, False),
        ("linux-aarch64", "armv7l", 32, False),
    ],
)
def test_a_bundle_fits_what_the_system_s_programs_are_also_without_a_python_there(
    folder, built_for, kernel, bits, fits
):
    supplied = for_platform(folder, built_for)
    assert _fits(supplied, Platform(arch=kernel, libc="glibc 2.36", bits=bits)) is fits


def test_a_first_raspberry_pi_gets_no_bundle_of_its_successors(folder):
    supplied = for_platform(folder, "linux-armv7l")
    python = Interpreter(path="/usr/bin/python3", version="3.11", soabi="cpython-311-arm-linux-gnueabihf")
    zero = Platform(arch="armv6l", libc="glibc 2.36", interpreters=(python,))
    assert not _fits(supplied, zero)


@pytest.mark.parametrize(("arch", "kernels"), [("aarch64", "arm"), ("x86_64", "x86")])
def test_a_supplied_bundle_gets_a_mobile_file_for_its_own_processor(folder, arch, kernels):
    (folder / "runner").write_text("#!/bin/sh\n")
    rewrite(
        folder,
        runtime="paddlelite",
        version="2.13rc0",
        platform=f"linux-{arch}",
        files={"runner": sha256(folder / "runner")},
    )
    supplied, zoo = binary_bundle(folder), PROJECT / "suites" / "zoo.toml"
    case = Case(
        model="ppocr_cls",
        runtime="paddlelite",
        runtime_version="2.13rc0",
        precision="fp32",
        threads=1,
        backend="mobile",
    )
    made = make_ready(Cache(), load_zoo(zoo)[case.model], zoo.parent, case, Platform(arch=arch), [supplied])
    assert made.bundle == supplied
    assert made.artifact.record.options["valid_targets"] == kernels
    assert list(made.artifact.record.files) == ["nb"]


def test_a_supplied_bundle_for_another_processor_is_named_when_nothing_else_is_left(folder):
    rewrite(folder, runtime="paddlelite", version="2.13rc0")
    supplied, paddlelite = binary_bundle(folder), RUNTIMES["paddlelite"]
    with pytest.raises(UnsupportedError) as told:
        bundle_for(Cache(), paddlelite, "2.13rc0", Platform(arch="riscv64"), [supplied])
    assert f"the binary bundle {folder} is of 2.13rc0 for linux-x86_64" in str(told.value)


def test_the_same_files_in_another_place_are_the_same_bundle(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    one, other = binary_bundle(folder), binary_bundle(tmp_path / "copy")
    assert (one.digest, one.info) == (other.digest, other.info)


def test_a_helper_that_is_made_executable_makes_another_bundle(folder):
    (folder / "helper").write_text("#!/bin/sh\n")
    rewrite(folder, files={name: sha256(folder / name) for name in ("runner", "helper")})
    before = binary_bundle(folder)
    (folder / "helper").chmod(0o755)
    after = binary_bundle(folder)
    assert before.digest != after.digest, "else a device keeps the one that cannot be executed"
    assert before.info.key != after.info.key


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"files": {"runner": "0" * 64}}, "files: runner has sha256 .*, not 000.*changed or damaged"),
        ({"files": {}}, "files is empty: name every file"),
        ({"files": {"runner": "0" * 64, "lib/a.so": "0" * 64}}, "files: (runner has|lib/a.so is not there)"),
        ({"files": {"../runner": "0" * 64}}, "'../runner' is no plain path"),
        ({"files": {"/etc/passwd": "0" * 64}}, "'/etc/passwd' is no plain path"),
        ({"files": ["runner"]}, "files: Expected object, got array"),
        ({"entry": ...}, "entry missing .docs/runtimes.md has an example"),
        ({"entry": [], "files": None}, "files: Expected object, got null"),
        ({"entry": []}, "entry is empty"),
        ({"entry": ["{bundle}/runer"]}, "entry: 'runer' is not in files. Did you mean runner"),
        ({"entry": ["sh", "-c", "x"]}, "has to begin with {bundle}/"),
        ({"entry": ["{bundle}/runner", "{python}"]}, "entry: unknown placeholder {python}"),
        ({"env": {"A": "{bundel}"}}, "env: unknown placeholder {bundel}"),
        ({"env": {"A": 1}}, "env.*: Expected str, got int"),
        ({"enviroment": {}}, "unknown key 'enviroment'.*Valid keys: .*env"),
        ({"platfrom": "x"}, "unknown key 'platfrom'. Did you mean 'platform'"),
        ({"platform": "aarch64"}, "unknown platform 'aarch64'.*Did you mean linux-aarch64"),
        ({"platform": "windows-x86_64"}, "unknown platform 'windows-x86_64'"),
        ({"platform": "linux-aarch64"}, "runner is built for x86_64, platform says linux-aarch64"),
        ({"runtime": "ncn"}, "unknown runtime 'ncn' in .*Did you mean ncnn"),
        ({"version": ""}, "version is empty"),
        ({"schema": 2}, "schema is 2, this pocketbench reads 1"),
        ({"schema": ..., "version": ...}, "schema, version missing"),
        ({"kind": "wheel"}, "kind: Invalid enum value 'wheel'"),
    ],
)
def test_a_wrong_manifest_is_told_with_file_and_key(folder, changes, told):
    rewrite(folder, **changes)
    with pytest.raises(PocketbenchError, match=told) as raised:
        binary_bundle(folder)
    assert str(folder / "bundle.json") in str(raised.value)


def test_a_file_that_is_not_named_is_told(folder):
    (folder / "lib").mkdir()
    (folder / "lib" / "libextra.so").touch()
    with pytest.raises(PocketbenchError, match=r"lib/libextra\.so in the directory and not in files"):
        binary_bundle(folder)


def test_a_link_is_told(folder, tmp_path):
    shutil.move(folder / "runner", tmp_path / "elsewhere")
    (folder / "runner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PocketbenchError, match="runner is a link"):
        binary_bundle(folder)


def test_a_program_that_cannot_be_executed_is_told_with_what_to_do(folder):
    (folder / "runner").chmod(0o644)
    with pytest.raises(PocketbenchError, match=r"runner is not executable: chmod \+x it"):
        binary_bundle(folder)


@pytest.mark.parametrize("written", ["", "{", "[]", "null", "\ud800"])
def test_a_manifest_that_is_no_json_object_is_told(folder, written):
    (folder / "bundle.json").write_bytes(written.encode(errors="surrogatepass"))
    with pytest.raises(PocketbenchError, match=r"bundle\.json (is no JSON|must hold one JSON object)"):
        binary_bundle(folder)


@pytest.mark.parametrize("spoiled", [False, True])
def test_the_command_line_checks_a_bundle(folder, spoiled):
    if spoiled:
        (folder / "runner").write_bytes(b"")
    command = [sys.executable, "-c", "from harness.cli import main; main()", "bundles", "--check", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if spoiled:
        assert (done.returncode, done.stdout) == (2, "")
        assert "files: runner has sha256" in done.stderr
    else:
        assert done.stdout == f"{folder}  ncnn@1.0.20261020 for linux-x86_64  ok\n", done.stderr


def test_a_directory_without_a_manifest_is_no_bundle(tmp_path):
    with pytest.raises(PocketbenchError, match=r"is no binary bundle: it has no bundle\.json"):
        binary_bundle(tmp_path)
