"""pytest sessions over SSH: an emulated ARM board beside this machine, odd names, boards that are away."""

import shutil

import pytest
from peers.sshd import free_port, make_key
from projects import Project, private_environment

pytest_plugins = ["peers.fixtures", "peers.shell_fixtures"]

ONE_MODEL = ("--model", "ppocr_cls", "--precision", "fp32", "--effort", "quick")
ONE_CASE = ("--runtime", "onnxruntime", *ONE_MODEL)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, private_environment(tmp_path))


def device_file(peer, workdir, **more):
    """What a user writes about a server that runs at `peer`."""
    keys = {
        "driver": "ssh",
        "host": peer.host,
        "port": peer.port,
        "user": peer.user,
        "identity_file": str(peer.identity_file),
        "known_hosts_file": str(peer.known_hosts),
        "workdir": str(workdir),
        **more,
    }
    return "".join(f"{key} = {value!r}\n" for key, value in keys.items())


def test_an_arm_board_and_this_machine_are_measured_in_one_run_and_nothing_is_sent_twice(project, board):
    (project.root / "a64.toml").write_text(board.device_file())
    arguments = (*ONE_MODEL, "--device", "a64", "-n", "2")
    first = project.pytest(*arguments)
    assert first.exit_code == 0, first.printed
    by_device = {}
    for done in first.measurements:
        by_device.setdefault(done.device, {})[done.case.runtime] = done
    assert set(by_device) == {"a64", "bench"}
    for runtime in ("onnxruntime", "mnn", "ncnn"):
        done = by_device["a64"][runtime]
        assert (done.status, done.parity.ok) == ("measured", True), done.reason
        assert (done.facts["arch"], done.facts["driver"], done.emulated) == ("aarch64", "ssh", True)
        assert (done.bundle.kind, done.bundle.platform) == ("wheel", "aarch64-manylinux_2_36")
        assert done.parity.worst("cosine") > 0.999999
        assert not by_device["bench"][runtime].emulated
    absent = by_device["a64"]["paddlelite"]
    assert (absent.status, absent.not_applicable) == ("unsupported", True)
    assert "no wheel for aarch64" in absent.reason
    assert "--bundle DIR" in absent.reason
    assert "a64 (emulated)" in first.printed
    assert "sent to a64: " in first.printed
    report = (first.run / "report.html").read_text()
    assert 'class="emulated"' in report

    shutil.rmtree(project.results)
    second = project.pytest(*arguments)
    assert second.exit_code == 0, second.printed
    assert "sent to a64: 0 bytes" in second.printed
    log = (second.run / "run.log").read_text()
    assert log.count("a64: ppocr_cls/") == 3
    assert log.count(": 0 content bytes sent, measured") == 7, log


def test_a_board_without_python_gets_one_with_the_bundle(project, own_board):
    (project.root / "bare.toml").write_text(own_board(python=False).device_file())
    session = project.pytest("--runtime", "ncnn", *ONE_MODEL, device="bare")
    assert session.exit_code == 0, session.printed
    (done,) = session.measurements
    assert (done.status, done.parity.ok, done.bundle.kind) == ("measured", True, "portable")
    assert done.facts["interpreters"] == []


def test_markup_in_a_device_name_is_shown_and_not_obeyed(project, own_sshd):
    name = "<img src=x onerror=alert(1)>[bold]"
    (project.root / f"{name}.toml").write_text(device_file(own_sshd, project.root / "there"))
    session = project.pytest(*ONE_CASE, device=name)
    assert session.exit_code == 0, session.printed
    assert [done.device for done in session.measurements] == [name]
    assert "".join(f"on {name}".split()) in "".join(session.printed.split())
    report = (session.run / "report.html").read_text()
    assert "<img src=x" not in report
    assert "&lt;img src=x onerror=alert(1)&gt;[bold]" in report


def test_a_board_that_is_away_costs_its_own_cases_only(project, own_sshd):
    away = device_file(own_sshd, project.root / "there", port=free_port())
    (project.root / "away.toml").write_text(away)
    session = project.pytest(*ONE_CASE, "--device", "away")
    assert session.exit_code == 1, session.printed
    by_device = {done.device: done for done in session.measurements}
    assert by_device["bench"].status == "measured"
    assert by_device["away"].status == "failed"
    assert "cannot reach 127.0.0.1" in by_device["away"].reason
    assert "is it on, on this network" in session.printed


def test_a_wrong_key_is_told_once_for_each_case_with_what_mends_it(project, own_sshd, tmp_path):
    wrong = make_key(tmp_path / "wrong")
    (project.root / "locked.toml").write_text(
        device_file(own_sshd, project.root / "there", identity_file=str(wrong))
    )
    session = project.pytest(*ONE_CASE, device="locked")
    assert session.exit_code == 1, session.printed
    (done,) = session.measurements
    assert done.status == "failed"
    assert "ssh-copy-id" in done.reason
