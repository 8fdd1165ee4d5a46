"""A command in a folder of its own, on this machine and over SSH: sent, run and brought back."""

import pytest
from peers.ssh_devices import device_on, tmpfs

from devices import CommandTimeoutError, Device, DeviceError
from devices.base import NotBroughtBackError
from devices.local import LocalDevice
from devices.remote import work
from devices.remote.transport import Transport

pytest_plugins = ["peers.shell_fixtures"]

JOB = 'it\'s "quoted", $HOME, 100 %\n'


@pytest.fixture(params=["local", "ssh"])
def device(request, tmp_path):
    if request.param == "local":
        opened = LocalDevice("bench", str(tmp_path / "it's a work"))
    else:
        opened = device_on(request.getfixturevalue("sshd"), tmp_path / "it's a work")
    with opened:
        yield opened


def shell(script):
    return ["sh", "-c", script]


def left_behind(tmp_path):
    return list((tmp_path / "it's a work").glob("launches/*"))


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_comes_back_with_what_was_put_and_written_there(device, tmp_path):
    checked: Device = device
    script = "cat job.json; echo err >&2; mkdir out; printf '\\0\\377' >out/0.npy; : >empty"
    done = checked.work(shell(script), texts={"job.json": JOB}, local=tmp_path / "back")
    assert (done.exit_code, done.stdout, done.stderr) == (0, JOB.encode(), b"err\n")
    assert contents(tmp_path / "back") == {
        "job.json": JOB.encode(),
        "out/0.npy": b"\0\xff",
        "empty": b"",
    }
    assert left_behind(tmp_path) == []


def test_it_comes_back_however_the_command_ended(device, tmp_path):
    failed = device.work(shell("echo load >stage; exit 3"), texts={"a": ""}, local=tmp_path / "failed")
    assert (failed.exit_code, (tmp_path / "failed/stage").read_text()) == (3, "load\n")
    script = "echo first >stage; kill -SEGV $$"
    crashed = device.work(shell(script), texts={"a": ""}, local=tmp_path / "crashed")
    assert (crashed.signal, (tmp_path / "crashed/stage").read_text()) == ("SIGSEGV", "first\n")
    assert left_behind(tmp_path) == []


def test_what_a_command_wrote_before_its_timeout_comes_back(device, tmp_path):
    script = "echo timing >stage; exec sleep 300"
    with pytest.raises(CommandTimeoutError):
        device.work(shell(script), texts={"a": ""}, local=tmp_path / "back", timeout_s=2.0)
    assert (tmp_path / "back/stage").read_text() == "timing\n"
    assert left_behind(tmp_path) == []


def test_a_job_too_long_for_one_line_arrives(device, tmp_path):
    text = JOB * 20_000
    done = device.work(shell("wc -c <job.json"), texts={"job.json": text}, local=tmp_path / "back")
    assert int(done.stdout) == len(text)
    assert contents(tmp_path / "back") == {"job.json": text.encode()}


def test_what_cannot_be_started_leaves_nothing(device, tmp_path):
    with pytest.raises(DeviceError, match="no program 'nowhere'"):
        device.work(["nowhere"], texts={"a": ""}, local=tmp_path / "back")
    assert left_behind(tmp_path) == []


def test_a_folder_that_cannot_be_had_does_not_hide_how_the_command_ended(device, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotBroughtBackError) as caught:
        device.work(shell("echo done; exit 4"), texts={"a": ""}, local=tmp_path / "file/back")
    assert (caught.value.completed.exit_code, caught.value.completed.stdout) == (4, b"done\n")


def test_ten_megabytes_of_output_and_of_files_come_back(device, tmp_path):
    script = "head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >outputs"
    done = device.work(shell(script), texts={"a": ""}, local=tmp_path / "back")
    assert len(done.stdout) == 10_000_000
    assert (tmp_path / "back/outputs").stat().st_size == 10_000_000


def test_a_full_disk_is_told_with_the_numbers_over_ssh(sshd, tmp_path):
    with tmpfs(tmp_path / "small", "size=1m") as small, device_on(sshd, small / "work") as device:
        device.run(shell("head -c 2000000 /dev/zero >filler 2>/dev/null; true"))
        with pytest.raises(DeviceError, match=r"no space left \([\d.]+ MiB needed, 0\.0 MiB free"):
            device.work(shell("true"), texts={"job.json": JOB * 1000}, local=tmp_path / "back")


class Counted:
    """A transport that counts what it is asked for."""

    def __init__(self, transport: Transport):
        self.transport = transport
        self.lines = []

    def execute(self, line, **rest):
        self.lines.append(line)
        return self.transport.execute(line, **rest)


def test_all_of_it_is_one_round_trip_over_ssh(sshd, tmp_path):
    with device_on(sshd, tmp_path / "work") as device:
        counted = Counted(device.transport)
        device.shell.transport = counted
        device.work(shell("cat job.json >out"), texts={"job.json": JOB}, local=tmp_path / "back")
        assert len(counted.lines) == 1
        device.shell.transport = counted.transport


def test_results_that_take_longer_than_the_command_may_are_fetched_apart_over_ssh(
    sshd, tmp_path, monkeypatch
):
    monkeypatch.setattr(work, "_bring", lambda _folder: "sleep 60")
    with device_on(sshd, tmp_path / "work") as device:
        done = device.work(
            shell("echo out; echo result >result"), texts={"a": ""}, local=tmp_path / "back", timeout_s=2.0
        )
    assert (done.exit_code, done.stdout) == (0, b"out\n")
    assert contents(tmp_path / "back") == {"a": b"", "result": b"result\n"}


def test_what_is_there_already_is_found_in_one_round_trip_over_ssh(sshd, tmp_path):
    trees = []
    for name in ("bundle", "artifact", "feed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        trees.append((tmp_path / name, name * 8))
    with device_on(sshd, tmp_path / "work") as device:
        staged = device.stage_all(trees)
    with device_on(sshd, tmp_path / "work") as device:
        counted = Counted(device.transport)
        device.shell.transport = counted
        assert device.stage_all(trees) == staged
        assert (len(counted.lines), device.content_bytes_sent) == (1, 0)
        # What one of them lacks is brought; the others are known.
        (tmp_path / "feed/more").write_text("more")
        device.stage_all([*trees[:2], (tmp_path / "feed", "other")])
        assert device.content_bytes_sent == 4
        device.shell.transport = counted.transport
