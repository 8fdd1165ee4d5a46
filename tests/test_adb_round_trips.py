"""What a case costs a phone besides its launches: each round trip over a cable or Wi-Fi is felt."""

import shutil

import pytest
from peers.adbd.device import AdbDevice
from peers.adbd.phone import Phone
from peers.adbd.server import AdbServer
from projects import Project, private_environment

pytestmark = pytest.mark.skipif(bool(Phone.missing()), reason=f"the phone needs {Phone.missing()}")

FILE = """
driver = "adb"
serial = "{}"
server_port = {}
"""
ASKED = ("--runtime", "onnxruntime", "--precision", "fp32")


@pytest.fixture(scope="module")
def round_trips(tmp_path_factory):
    """`round_trips(models, effort)`: services that a session asks of a phone that has everything already."""
    root = tmp_path_factory.mktemp("project")
    project = Project(root, private_environment(root))
    with AdbServer(root / "adb") as server, AdbDevice() as phone:
        (project.root / "pixel7.toml").write_text(FILE.format(phone.serial, server.port))

        def count(models, effort):
            shutil.rmtree(project.results, ignore_errors=True)
            phone.traffic.clear()
            session = project.pytest(*ASKED, "--model", models, "--effort", effort, device="pixel7")
            assert session.exit_code == 0, session.printed
            assert {done.status for done in session.measurements} == {"measured"}
            return len(phone.traffic.services), sum(m.content_bytes_sent for m in session.measurements)

        assert count("ppocr_cls,silero_vad", "quick")[1] > 0
        yield count


@pytest.mark.parametrize(("effort", "asked"), [("quick", 4), ("standard", 6)])
def test_a_case_costs_a_phone_one_round_trip_for_each_launch_and_three_more(round_trips, effort, asked):
    one, sent_one = round_trips("ppocr_cls", effort)
    two, sent_two = round_trips("ppocr_cls,silero_vad", effort)
    assert (two - one, sent_one, sent_two) == (asked, 0, 0)
