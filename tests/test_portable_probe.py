"""A bundle that brings its own Python is tried before it is used: what forbids it is explained, once."""

import logging
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import GOOGLE_ADB, AdbServer
from peers.smallest import smallest_model, smallest_ready

from devices.base import Completed, DeviceError
from devices.inventory import find_device
from devices.local import LocalDevice
from harness.arm import Arm
from harness.bundles import Bundle
from harness.cache import Cache
from harness.errors import UnsupportedError
from harness.launch import Staged
from harness.measure import Setting, blank_measurement, measure
from harness.probe import Probes, explained
from harness.schedule import EFFORTS
from harness.spec import BundleInfo, Job

PROJECT = Path(__file__).parent.parent
SOURCE = PROJECT / "tests/data/seccomp/forbidding.c"
INFO = BundleInfo(
    key="k",
    kind="portable",
    runtime="ncnn",
    version="1.0",
    platform="linux-aarch64",
    python="3.11",
    packages={},
)

on_a_phone = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")


@pytest.fixture(scope="module")
def gcc():
    """Compiles and links with the words it is called with."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here: tests/setup.sh installs what is needed")
    return lambda *words: subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", *words], check=True)


@pytest.fixture(scope="module")
def forbidding(gcc, tmp_path_factory):
    """A program that runs another one under a real seccomp filter."""
    program = tmp_path_factory.mktemp("built") / "forbidding"
    gcc("-static", SOURCE, "-o", program)
    return program


@pytest.fixture(scope="module")
def phone():
    with AdbDevice(Phone()) as started:
        yield started


@pytest.fixture(scope="module")
def device(phone, tmp_path_factory):
    """The phone, opened as a device file says."""
    folder = tmp_path_factory.mktemp("adb")
    with AdbServer(folder, GOOGLE_ADB) as server:
        (folder / "pixel.toml").write_text(
            f'driver = "adb"\nserial = "{phone.serial}"\nserver_port = {server.port}\n'
        )
        with find_device("pixel", [folder]) as opened:
            yield opened


def bundle(digest="d" * 64, **changes):
    return Bundle(
        path=Path("/nowhere"), digest=digest, info=msgspec.structs.replace(INFO, **changes), entry=()
    )


def arm(*python):
    job = Job(runtime="ncnn", backend="cpu", precision="fp32", threads=1, files={}, inputs=(), outputs=())
    staged = Staged(command=(*python, "-m", "runner"), environment={}, files={}, inputs=())
    return Arm(staged=staged, job=job, python=python)


def refusal(device, *python):
    """What a new session is told of a bundle that is started with `python`."""
    with pytest.raises(UnsupportedError) as caught:
        Probes().check(device, bundle(), arm(*python), timeout_s=30)
    return str(caught.value)


@on_a_phone
def test_a_system_call_that_a_phone_forbids_is_told_with_what_to_do(device, forbidding, caplog):
    device.push(forbidding, "forbidding")
    with caplog.at_level(logging.WARNING):
        told = refusal(device, f"{device.workdir}/forbidding", "getpid", "/system/bin/sh")
    assert told == (
        "pixel: the portable bundle of ncnn 1.0 does not start there: the system forbids a system call that "
        "it needs (SIGSYS, exit code 159: a seccomp filter); portable bundles are experimental on phones: "
        "supply a `binary` bundle with --bundle DIR (docs/android.md)"
    )
    assert "pixel: portable bundles are validated under emulation, not on a phone" in caplog.text


@on_a_phone
def test_a_bundle_is_asked_once_on_a_device_and_its_answer_kept(device, forbidding, phone):
    device.push(forbidding, "forbidding")
    device.facts()
    probes, killed = Probes(), arm(f"{device.workdir}/forbidding", "getpid", "/system/bin/sh")
    phone.traffic.clear()
    for _ in range(3):
        with pytest.raises(UnsupportedError):
            probes.check(device, bundle("a" * 64), killed, timeout_s=30)
    assert len(phone.traffic.services) == 1
    for _ in range(3):
        probes.check(device, bundle("b" * 64), arm("/system/bin/true"), timeout_s=30)
    assert len(phone.traffic.services) == 2


@on_a_phone
@pytest.mark.parametrize("kind", ["wheel", "binary"])
def test_only_a_bundle_with_a_python_of_its_own_is_asked(device, phone, kind):
    phone.traffic.clear()
    Probes().check(device, bundle(kind=kind), arm("/nowhere"), timeout_s=30)
    assert not phone.traffic.services


@on_a_phone
def test_a_place_mounted_noexec_is_told_and_where_to_go(device, forbidding):
    device.push(forbidding, "/sdcard/forbidding")
    told = refusal(device, "/sdcard/forbidding", "getpid", "/system/bin/sh")
    assert "may not be executed" in told
    assert "(EACCES): the work directory is mounted noexec, or SELinux forbids it" in told
    assert "below /data/local/tmp" in told


@on_a_phone
def test_a_bundle_for_another_processor_is_told_as_one(device, forbidding, tmp_path):
    foreign = bytearray(forbidding.read_bytes())
    foreign[18] = 22  # e_machine of the S/390: elf(5)
    (tmp_path / "foreign").write_bytes(foreign)
    (tmp_path / "foreign").chmod(0o755)
    device.push(tmp_path / "foreign", "foreign")
    told = refusal(device, f"{device.workdir}/foreign")
    assert "it is made for linux-aarch64, which the device does not run (ENOEXEC)" in told


@pytest.fixture
def dynamic(device, gcc, tmp_path):
    """How a program on the phone is started by a loader of its own, given where its libraries are."""
    (tmp_path / "library.c").write_text("int known(void);\nint known(void) { return 0; }\n")
    (tmp_path / "program.c").write_text("int known(void);\nint main(void) { return known(); }\n")
    tree = tmp_path / "dynamic"
    (tree / "lib").mkdir(parents=True)
    gcc("-shared", tmp_path / "library.c", "-o", tree / "lib/libknown.so")
    gcc(tmp_path / "program.c", f"-L{tree}/lib", "-lknown", "-o", tree / "program")
    printed = subprocess.run(["ldd", "/bin/true"], capture_output=True, text=True, check=True).stdout
    for path in (word for word in printed.split() if word.startswith("/")):
        shutil.copy(path, tree / "lib")
    loader = next((tree / "lib").glob("ld-linux*"))
    device.push(tree, "dynamic")
    device.push(tree / "lib", "/sdcard/lib")
    there = f"{device.workdir}/dynamic"
    return lambda libraries: (
        f"{there}/lib/{loader.name}",
        "--inhibit-cache",
        "--library-path",
        libraries.replace("{there}", there),
        f"{there}/program",
    )


@on_a_phone
def test_what_the_loader_complains_of_is_told(device, dynamic):
    Probes().check(device, bundle(), arm(*dynamic("{there}/lib")), timeout_s=30)
    told = refusal(device, *dynamic("/nowhere"))
    assert "a library of it cannot be loaded" in told
    assert "libknown.so: cannot open shared object file" in told
    told = refusal(device, *dynamic("/sdcard/lib"))
    assert "its libraries may not be executed where they lie" in told
    assert "failed to map segment from shared object" in told


@on_a_phone
def test_a_device_that_lost_the_bundle_is_no_verdict_on_the_bundle(device):
    with pytest.raises(DeviceError, match="no program '/nowhere'") as caught:
        Probes().check(device, bundle(), arm("/nowhere"), timeout_s=30)
    assert not isinstance(caught.value, UnsupportedError)


@pytest.fixture(scope="module")
def model():
    return smallest_model()


@pytest.fixture(scope="module")
def ready():
    """The smallest model for onnxruntime on this machine, its bundle taken for a portable one."""
    made = smallest_ready()
    info = msgspec.structs.replace(made.bundle.info, kind="portable")
    return msgspec.structs.replace(made, bundle=msgspec.structs.replace(made.bundle, info=info))


class Counting(LocalDevice):
    """Counts the commands it is given."""

    commands = 0

    def run(self, *given, **said):
        self.commands += 1
        return super().run(*given, **said)


@pytest.fixture
def measured(model, tmp_path):
    """Two measurements of one run, and the commands they took."""

    def run(ready):
        probes = Probes()
        setting = Setting(run_id="r", effort=EFFORTS["quick"], seed=1, launch_timeout_s=60.0)
        with Counting("local", workdir=tmp_path / "work") as device:
            blank = blank_measurement(device, device.facts(), ready.case, model, setting)
            done = [
                measure(device, ready, model, setting, Cache(), blank=blank, probes=probes) for _ in range(2)
            ]
            return done, device.commands

    return run


def test_a_case_whose_python_is_killed_is_unsupported_and_never_launched(measured, ready, forbidding):
    entry = (str(forbidding), "getrandom", *ready.bundle.entry)
    filtered = msgspec.structs.replace(ready.bundle, entry=entry)
    done, commands = measured(msgspec.structs.replace(ready, bundle=filtered))
    for measurement in done:
        assert (measurement.status, measurement.not_applicable) == ("unsupported", True)
        assert "the portable bundle of onnxruntime" in measurement.reason
        assert "SIGSYS" in measurement.reason
        assert not measurement.launches
    assert commands == 1


def test_a_bundle_that_starts_costs_one_command_a_session(measured, ready):
    done, commands = measured(ready)
    assert [measurement.status for measurement in done] == ["measured", "measured"]
    assert commands == 3


def ended(stderr=b"", **how):
    return Completed(**{"exit_code": 127, "stdout": b"", "stderr": stderr, "seconds": 0.0, **how})


@pytest.mark.parametrize(
    ("done", "told"),
    [
        (ended(exit_code=0, stderr=b"undefined symbol"), ""),
        (ended(exit_code=159, signal="SIGSYS"), "SIGSYS"),
        (ended(exit_code=132, signal="SIGILL"), "lacks an instruction"),
        (ended(exit_code=139, signal="SIGSEGV"), ""),
        (ended(b"FATAL: kernel too old\n"), "the kernel is too old"),
        (ended(b"Traceback\nImportError: /x/y.so: undefined symbol: strtoll\n"), "undefined symbol: strtoll"),
        (ended(b"./ld.so: {x}: cannot open shared object file\n"), "{x}: cannot open"),
        (ended(b"ModuleNotFoundError: No module named 'ncnn'\n"), ""),
        (ended(b"\xff\xfe", exit_code=1), ""),
    ],
)
def test_only_what_the_system_forbids_is_explained(done, told):
    assert told in explained(done)
    assert bool(explained(done)) == bool(told)
