"""pytest sessions on an emulated arm64 phone, through Google's adb and without, end to end."""

import shutil

import pytest
from peers.adbd.arm_phone import ArmPhone
from peers.adbd.device import AdbDevice
from peers.adbd.server import GOOGLE_ADB, AdbServer
from projects import Project, private_environment

from harness.bundles.compilers import abi_named
from harness.bundles.native import native_bundle
from harness.cache import Cache
from harness.runtimes import RUNTIMES

pytestmark = [
    pytest.mark.skipif(bool(ArmPhone.missing()), reason=f"the phone needs {ArmPhone.missing()}"),
]

NCNN = RUNTIMES["ncnn"]
ASKED = ("--model", "ppocr_cls", "--precision", "fp32", "--effort", "quick")
FILE = """
driver = "adb"
serial = "{}"
transport = "{}"
{}
emulated = true
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """`measured(*options)`: a session on an arm64 phone that all tests share, its project emptied before."""
    root = tmp_path_factory.mktemp("project")
    project = Project(root, private_environment(root))
    with AdbServer(root / "adb", GOOGLE_ADB) as server, AdbDevice(ArmPhone()) as phone:
        files = {"server": f"server_port = {server.port}", "direct": f'key_file = "{server.key}"'}
        for transport, line in files.items():
            (project.root / f"by_{transport}.toml").write_text(FILE.format(phone.serial, transport, line))

        def session(device, *options):
            shutil.rmtree(project.results, ignore_errors=True)
            done = project.pytest(*options, *ASKED, device=device)
            assert done.exit_code == 0, done.printed
            return done

        yield session


def assert_right(measurement, kind):
    assert (measurement.status, measurement.emulated) == ("measured", True), measurement.reason
    assert measurement.parity.ok
    assert measurement.parity.worst("cosine") > 0.999999
    facts = measurement.facts
    assert (facts["driver"], facts["arch"], facts["os"]) == ("adb", "aarch64", "Android")
    assert measurement.bundle.kind == kind


def native():
    """The static runner, built when the cache does not have it."""
    return native_bundle(Cache(), NCNN, NCNN.default_version, abi_named("arm64-v8a"), lambda *_: None)


def test_an_arm64_phone_is_measured_with_a_python_of_our_own_and_its_outputs_are_right(measured):
    session = measured("by_server", "--runtime", "onnxruntime,mnn,ncnn")
    assert {done.case.runtime for done in session.measurements} == {"onnxruntime", "mnn", "ncnn"}
    for done in session.measurements:
        assert_right(done, "portable")
    assert "on by_server (emulated)" in session.printed


def test_an_arm64_phone_is_measured_with_a_static_runner_and_no_adb_server(measured):
    session = measured("by_direct", "--runtime", "ncnn", "--bundle", native().path)
    (done,) = session.measurements
    assert_right(done, "binary")
    assert done.content_bytes_sent > 0


def test_what_an_arm64_phone_has_is_not_sent_again_and_a_bundle_of_no_use_is_told(measured, tmp_path):
    measured("by_server", "--runtime", "ncnn")
    other = shutil.copytree(native().path, tmp_path / "other")
    manifest = (other / "bundle.json").read_text()
    (other / "bundle.json").write_text(manifest.replace(NCNN.default_version, "1.0.19990101"))
    session = measured("by_direct", "--runtime", "ncnn", "--bundle", other)
    (done,) = session.measurements
    assert_right(done, "portable")
    assert done.content_bytes_sent == 0
    assert "(ncnn@1.0.19990101 for linux-aarch64) fits no case on" in " ".join(session.printed.split())
