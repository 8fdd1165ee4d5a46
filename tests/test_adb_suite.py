"""A pytest session on an emulated arm64 phone: portable bundles through Google's adb, end to end."""

import pytest
from peers.adbd.arm_phone import ArmPhone
from peers.adbd.device import AdbDevice
from peers.adbd.server import GOOGLE_ADB, AdbServer
from projects import Project, private_environment

pytestmark = [
    pytest.mark.skipif(bool(ArmPhone.missing()), reason=f"the phone needs {ArmPhone.missing()}"),
]

ASKED = ("--model", "ppocr_cls", "--precision", "fp32", "--effort", "quick")
FILE = """
driver = "adb"
serial = "{}"
server_port = {}
emulated = true
"""


def test_an_arm64_phone_is_measured_with_a_python_of_our_own_and_its_outputs_are_right(tmp_path):
    project = Project(tmp_path, private_environment(tmp_path))
    with AdbServer(tmp_path / "adb", GOOGLE_ADB) as server, AdbDevice(ArmPhone()) as phone:
        (project.root / "pixel7.toml").write_text(FILE.format(phone.serial, server.port))
        session = project.pytest("--runtime", "onnxruntime,ncnn", *ASKED, device="pixel7")
    assert session.exit_code == 0, session.printed
    assert {done.case.runtime for done in session.measurements} == {"onnxruntime", "ncnn"}
    for done in session.measurements:
        assert (done.status, done.parity.ok, done.emulated) == ("measured", True, True), done.reason
        assert (done.facts["driver"], done.facts["arch"], done.facts["os"]) == ("adb", "aarch64", "Android")
        assert done.bundle.kind == "portable"
    assert "on pixel7 (emulated)" in session.printed
