"""What a measurement over SSH becomes when line, board or disk fail: resumed, or told in one honest line."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from peers.proxy import Proxy
from peers.smallest import smallest_model, smallest_ready
from peers.ssh_devices import device_on, tmpfs
from peers.sshd import Sshd, descendants

from harness.cache import Cache
from harness.measure import Setting, blank_measurement, measure
from harness.platforms import platform_of
from harness.schedule import EFFORTS
from harness.spec import TimingPlan

pytest_plugins = ["peers.shell_fixtures"]

QUICK = EFFORTS["quick"]
SLOW = msgspec.structs.replace(QUICK, timing=TimingPlan(target_s=4.0, max_iterations=10**6))
"""Long enough for something to happen to a launch."""

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


@pytest.fixture(scope="module")
def model():
    return smallest_model()


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """The smallest model for onnxruntime, for what the server's machine is over SSH."""
    if Sshd.missing():
        pytest.skip(Sshd.missing())
    folder = tmp_path_factory.mktemp("asked")
    with Sshd(folder / "sshd") as server:
        device = device_on(server, folder / "work")
        platform = platform_of(device.facts())
        device.close()
    return smallest_ready(platform)


@pytest.fixture
def measured(ready, model):
    """Measure on a device that is open; everything else is always the same."""

    def run(device, *, effort=QUICK, timeout_s=60.0):
        setting = Setting(run_id="r", effort=effort, seed=1, launch_timeout_s=timeout_s)
        blank = blank_measurement(device, device.facts(), ready.case, model, setting)
        return measure(device, ready, model, setting, Cache(), blank=blank)

    return run


@contextmanager
def meanwhile(action):
    """Runs `action` beside the block and waits for its end."""
    failed = []

    def run():
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    assert not failed, failed


def runners(server):
    """Processes below the server that run our runner."""
    found = []
    for pid in descendants(server._process.pid):
        try:
            words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"runner" in words and not words[0].endswith(b"sh"):
            found.append(pid)
    return found


def until(condition, what, within_s=60):
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
    return found


def timing_begins(server, workdir):
    """Wait until a runner is in its timed part."""
    until(
        lambda: runners(server) and any(p.read_text() == "timing" for p in workdir.glob("launches/*/stage")),
        "a runner measures",
    )


def figures(measurement):
    """What may not depend on how often the line was cut."""
    return measurement.parity, [result.outputs for result in measurement.results]


def test_a_line_cut_in_the_middle_of_a_push_is_taken_up_and_the_result_is_the_same(
    own_sshd, tmp_path, measured
):
    with device_on(own_sshd, tmp_path / "calm") as device:
        calm = measured(device)
    with Proxy(own_sshd.host, own_sshd.port) as proxy:
        with device_on(own_sshd, tmp_path / "work", port=proxy.port) as device:
            proxy.cut_after(20_000_000)
            cut = measured(device)
        assert (calm.status, cut.status) == ("measured", "measured")
        assert figures(cut) == figures(calm)
        assert calm.content_bytes_sent > 40_000_000
        assert proxy.bytes_to_server < calm.content_bytes_sent * 1.2, "what had arrived was not sent again"


def test_a_line_cut_in_the_middle_of_a_run_repeats_the_launch_and_nothing_runs_twice(
    own_sshd, tmp_path, measured, caplog
):
    with (
        Proxy(own_sshd.host, own_sshd.port) as proxy,
        device_on(own_sshd, tmp_path / "work", port=proxy.port) as device,
    ):
        calm = measured(device)
        seen = []

        def cut():
            timing_begins(own_sshd, tmp_path / "work")
            seen.extend(runners(own_sshd))
            proxy.cut()

        with meanwhile(cut):
            again = measured(device, effort=SLOW)
        assert again.status == "measured", again.reason
        assert figures(again) == figures(calm)
        assert len(again.launches) == 1
        assert again.content_bytes_sent == 0
        assert not [pid for pid in seen if Path("/proc", str(pid)).exists()]
    assert "launch 0 of ppocr_cls/onnxruntime" in caplog.text
    assert "is tried again" in caplog.text


def test_a_line_that_goes_dead_without_a_word_is_noticed_and_the_launch_repeated(
    own_sshd, tmp_path, measured
):
    soon = {"keepalive_s": 0.5, "silence_s": 2.0}
    with (
        Proxy(own_sshd.host, own_sshd.port) as proxy,
        device_on(own_sshd, tmp_path / "work", port=proxy.port, **soon) as device,
    ):

        def go_dead():
            timing_begins(own_sshd, tmp_path / "work")
            proxy.stall()
            until(lambda: not device.transport.connected, "the dead line is noticed")
            proxy.cut()
            proxy.resume()

        with meanwhile(go_dead):
            done = measured(device, effort=msgspec.structs.replace(SLOW, timing=TimingPlan(target_s=6.0)))
    assert (done.status, done.parity.ok) == ("measured", True)


def test_a_board_that_reboots_in_the_middle_of_a_run_is_waited_for(own_sshd, tmp_path, measured):
    with device_on(own_sshd, tmp_path / "work") as device:

        def reboot():
            timing_begins(own_sshd, tmp_path / "work")
            own_sshd.restart(pause_s=3.0)

        with meanwhile(reboot):
            done = measured(device, effort=SLOW)
    assert (done.status, done.parity.ok, len(done.launches)) == ("measured", True, 1)


def test_a_board_that_does_not_come_back_leaves_what_was_measured_and_says_so(own_sshd, tmp_path, measured):
    with device_on(own_sshd, tmp_path / "work", patience_s=2.0) as device:

        def power_cut():
            until(lambda: list((tmp_path / "work").glob("launches/*/result.json")), "a launch is done")
            until(lambda: not list((tmp_path / "work").glob("launches/*")), "it was brought back")
            timing_begins(own_sshd, tmp_path / "work")
            own_sshd.stop()

        with meanwhile(power_cut):
            done = measured(device, effort=msgspec.structs.replace(SLOW, launches=3))
    assert done.status == "failed"
    assert "cannot reach" in done.reason
    assert "it was waited for in vain" in done.reason
    assert [launch.status for launch in done.launches] == ["measured"]
    assert done.parity.ok
    assert done.latency is not None
    assert done.telemetry_after == {}


def test_a_runner_that_hangs_is_a_timeout_and_its_tree_is_gone(own_sshd, tmp_path, measured):
    endless = msgspec.structs.replace(QUICK, timing=TimingPlan(target_s=600.0, max_iterations=10**9))
    with device_on(own_sshd, tmp_path / "work") as device:
        done = measured(device, effort=endless, timeout_s=5.0)
        assert not runners(own_sshd)
    assert (done.status, done.launches[0].stage) == ("timeout", "timing")
    assert "killed with its children" in done.reason


@contextmanager
def memory_limit(pid, limit_bytes):
    """The process and what it starts from now on may have this much memory together."""
    group = MEMORY_GROUPS / f"pocketbench-test-{pid}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
        (group / "cgroup.procs").write_text(str(pid))
        yield
        (MEMORY_GROUPS / "cgroup.procs").write_text(str(pid))
    finally:
        until(lambda: not (group / "cgroup.procs").read_text().split(), "the group is empty")
        group.rmdir()


@pytest.mark.skipif(not (MEMORY_GROUPS / "memory.limit_in_bytes").exists(), reason="no memory control groups")
def test_a_runner_that_the_kernel_kills_for_memory_is_told_as_that(own_sshd, tmp_path, measured):
    with device_on(own_sshd, tmp_path / "work") as device:
        assert measured(device).status == "measured"
        # New connections are served within the limit; this one was there before.
        device.transport.close()
        with memory_limit(own_sshd._process.pid, 20 * 2**20):
            done = measured(device)
            device.transport.close()
            until(lambda: not descendants(own_sshd._process.pid), "the sessions are gone")
    assert (done.status, done.launches[0].signal) == ("crashed", "SIGKILL")
    assert "SIGKILL during" in done.reason
    assert "The kernel's OOM killer ended it (" in done.reason


def test_a_full_disk_fails_the_case_with_the_numbers_and_leaves_nothing_half(own_sshd, tmp_path, measured):
    with tmpfs(tmp_path / "disk", "size=24m") as disk, device_on(own_sshd, disk / "work") as device:
        done = measured(device)
        assert done.status == "failed"
        assert "no space left" in done.reason
        assert "MiB needed" in done.reason
        assert "MiB free" in done.reason
        assert not list(disk.glob("work/launches/*"))


def test_a_clock_that_is_ten_years_late_changes_no_figure(tmp_path, measured):
    if Sshd.missing() or FAKETIME is None:
        pytest.skip("needs sshd and faketime (sh tests/setup.sh)")
    # Not the monotonic clock, which the runner measures with: that one has no date.
    late = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "-3650d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with Sshd(tmp_path / "sshd", environment=late) as server, device_on(server, tmp_path / "work") as device:
        assert device.run(["date", "+%Y"], env=late).stdout.strip() < b"2020"
        first, second = measured(device), measured(device)
    assert (first.status, first.parity.ok) == ("measured", True)
    assert (second.status, second.content_bytes_sent) == ("measured", 0)


def test_a_work_directory_with_spaces_and_quotes_is_measured_in(own_sshd, tmp_path, measured):
    with device_on(own_sshd, tmp_path / 'it\'s a "work" $HOME `dir`') as device:
        done = measured(device)
    assert (done.status, done.parity.ok) == ("measured", True), done.reason


def test_a_second_measurement_sends_nothing_and_leaves_no_launch_behind(own_sshd, tmp_path, measured):
    for sends in (True, False):
        with device_on(own_sshd, tmp_path / "work") as device:
            done = measured(device)
        assert (done.status, done.content_bytes_sent > 0) == ("measured", sends)
    assert not list((tmp_path / "work" / "launches").iterdir())
