"""The local driver against real disks and a second process that wants the device."""

import hashlib
import os
import subprocess
import threading
from pathlib import Path

import pytest
from peers.processes import python
from peers.shells import mounted

from devices.base import DeviceError, TransientDeviceError
from devices.local import LocalDevice

pytest_plugins = ["peers.local_fixtures"]
pytestmark = pytest.mark.usefixtures("private_directories")


@pytest.fixture
def full_disk(tmp_path):
    yield from mounted(tmp_path / "small disk", "size=1m")


def test_a_pinned_device_runs_commands_on_its_cpus_only(tmp_path):
    last = max(os.sched_getaffinity(0))
    with LocalDevice("pinned", str(tmp_path / "work"), (last,)) as device:
        printed = device.run(python("import os; print(os.sched_getaffinity(0))")).stdout
    assert printed.decode().strip() == f"{{{last}}}"


def test_cpus_that_are_not_there_are_refused_when_the_device_is_opened(tmp_path):
    with pytest.raises(DeviceError, match=r"cannot pin to CPUs 4000: this process may use 0"):
        LocalDevice("pinned", str(tmp_path / "work"), (4000,)).open()


def test_a_device_that_is_not_open_runs_nothing(tmp_path):
    with pytest.raises(DeviceError, match="is not open"):
        LocalDevice("bench", str(tmp_path)).run(["true"])


def test_staging_sends_nothing_and_refuses_what_is_not_there(local_device, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(b"weights")
    assert local_device.stage(model, "digest") == str(model)
    with pytest.raises(DeviceError, match=r"cannot stage .*missing"):
        local_device.stage(tmp_path / "missing", "digest")


def test_a_pushed_and_pulled_tree_keeps_contents_modes_and_links(local_device, tmp_path):
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "run").write_bytes(os.urandom(2_500_000))
    (tree / "bin" / "run").chmod(0o755)
    (tree / "empty").touch()
    (tree / "link").symlink_to("bin/run")
    told = []
    local_device.push(tree, "bundles/one", progress=lambda done, total: told.append((done, total)))
    local_device.pull("bundles/one", tmp_path / "back")
    back = tmp_path / "back"
    assert (back / "bin" / "run").read_bytes() == (tree / "bin" / "run").read_bytes()
    assert os.access(back / "bin" / "run", os.X_OK)
    assert (back / "link").readlink() == Path("bin/run")
    assert (back / "empty").stat().st_size == 0
    assert told[-1] == (2_500_000, 2_500_000)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_pushing_again_replaces_the_file_or_the_whole_tree(local_device, tmp_path):
    for content in ("old", "new"):
        tree = tmp_path / content
        tree.mkdir()
        (tree / content).write_text(content)
        local_device.push(tree, "tree")
        local_device.push(tree / content, "file")
    workdir = Path(local_device.workdir)
    assert [path.name for path in (workdir / "tree").iterdir()] == ["new"]
    assert (workdir / "file").read_text() == "new"
    assert sorted(path.name for path in workdir.iterdir()) == ["file", "tree"]


def test_pushing_what_is_not_there_or_over_another_kind_is_an_error_naming_the_paths(local_device, tmp_path):
    with pytest.raises(DeviceError, match=r"bench: cannot push .*missing to .*No such file"):
        local_device.push(tmp_path / "missing", "x")
    local_device.make_directory("folder")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DeviceError, match=r"cannot push .*Is a directory"):
        local_device.push(tmp_path / "file", "folder")
    local_device.push(tmp_path / "file", "file")
    with pytest.raises(DeviceError, match=r"cannot push .*is a file"):
        local_device.push(Path(local_device.workdir, "folder"), "file")
    assert sorted(path.name for path in Path(local_device.workdir).iterdir()) == ["file", "folder"]


def test_a_full_disk_is_an_error_with_the_numbers_and_leaves_nothing_behind(full_disk, tmp_path):
    (tmp_path / "big").write_bytes(b"\1" * 3_000_000)
    with LocalDevice("small", str(full_disk)) as device:
        with pytest.raises(DeviceError, match=r"no space left \(2.9 MiB needed, 1.0 MiB free\)") as caught:
            device.push(tmp_path / "big", "big")
        assert not isinstance(caught.value, TransientDeviceError)
        assert list(full_disk.iterdir()) == []


def test_removing_takes_files_trees_and_nothing_but_never_the_work_directory_s_parent(local_device):
    local_device.make_directory("tree/below")
    Path(local_device.workdir, "file").touch()
    for remote in ("tree", "file", "nothing"):
        local_device.remove(remote)
    assert list(Path(local_device.workdir).iterdir()) == []
    for remote in ("/", "..", str(Path(local_device.workdir).parent)):
        with pytest.raises(DeviceError, match="will not remove"):
            local_device.remove(remote)


def test_the_work_directory_follows_the_cache_and_the_device_s_name(tmp_path, monkeypatch):
    assert LocalDevice("my 'phone'").workdir == str(tmp_path / "cache" / "devices" / "my 'phone'")
    monkeypatch.delenv("POCKETBENCH_CACHE")
    assert LocalDevice("box").workdir.endswith("pocketbench/devices/box")
    with pytest.raises(DeviceError, match="must be absolute"):
        LocalDevice("box", "relative")


def test_a_work_directory_that_cannot_be_made_is_an_error_naming_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match=r"bench: cannot make its work directory .*file/work"):
        LocalDevice("bench", str(tmp_path / "file" / "work")).open()


HOLD = """
import sys
from devices.local import LocalDevice
with LocalDevice("first", sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_session(tmp_path):
    process = subprocess.Popen(
        python(HOLD, tmp_path / "other"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_device_held_by_another_process_is_refused_naming_that_process(other_session, tmp_path):
    waiting = LocalDevice("second", str(tmp_path / "work"), lock_timeout_s=0.3)
    with pytest.raises(
        TransientDeviceError, match=rf"second: held by process {other_session.pid} as 'first' since 20.*0.3 s"
    ):
        waiting.open()


def test_a_second_process_gets_the_device_when_the_first_lets_go_or_is_killed(other_session, tmp_path):
    threading.Timer(0.3, other_session.kill).start()
    with LocalDevice("second", str(tmp_path / "work"), lock_timeout_s=20) as device:
        assert device.run(["echo", "mine"]).stdout == b"mine\n"


def test_a_device_can_be_opened_again_after_it_was_closed_but_not_twice_at_once(local_device, tmp_path):
    with pytest.raises(DeviceError, match="is open already"):
        local_device.open()
    with pytest.raises(TransientDeviceError, match="this very process"):
        LocalDevice("twin", str(tmp_path / "work"), lock_timeout_s=0).open()
    local_device.close()
    local_device.close()
    local_device.open()


def test_facts_and_telemetry_of_this_machine_agree_with_what_python_knows(local_device):
    facts = local_device.facts()
    assert facts.driver == "local"
    assert facts.cores == os.cpu_count()
    assert facts.kernel == os.uname().release
    assert facts.ram_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert len(facts.fingerprint) == 16
    assert facts.fingerprint == local_device.facts().fingerprint
    telemetry = local_device.telemetry()
    assert telemetry.load_average == pytest.approx(os.getloadavg()[0], abs=1)
    assert 0 < telemetry.memory_available_bytes <= facts.ram_bytes


def test_a_raspberry_pi_s_own_tool_is_asked_for_throttling(local_device, tmp_path, monkeypatch):
    tool = tmp_path / "vcgencmd"
    tool.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50005\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = local_device.telemetry()
    assert asked.throttled is True
    assert asked.throttle_flags[:2] == ("under_voltage", "throttled")
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert local_device.telemetry().throttled is None


def test_what_arrives_has_the_content_that_was_sent(local_device, tmp_path):
    content = os.urandom(5_000_001)
    (tmp_path / "blob").write_bytes(content)
    local_device.push(tmp_path / "blob", "blob")
    printed = local_device.run(["sha256sum", "blob"]).stdout.decode()
    assert printed.split()[0] == hashlib.sha256(content).hexdigest()


def test_a_copy_that_differs_from_its_source_is_refused_and_removed(local_device, tmp_path):
    (tmp_path / "blob").write_bytes(b"\1" * 3_000_000)

    def spoil(done, total):
        (scratch,) = Path(local_device.workdir).glob(".*.part")
        with scratch.open("ab") as stream:
            stream.write(b"more")

    with pytest.raises(DeviceError, match="arrived with other content than was sent"):
        local_device.push(tmp_path / "blob", "blob", progress=spoil)
    assert list(Path(local_device.workdir).iterdir()) == []
