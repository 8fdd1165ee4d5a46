import os
import resource
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import RUN_ID, case, measurement, run_info

from harness.errors import PocketbenchError
from harness.results import RunStore, decode_measurement, new_run_id

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 22, 17, 45, tzinfo=UTC)

APPEND_FOR_EVER = """
    import sys
    from pathlib import Path
    from samples import case, measurement, run_info
    from harness.errors import PocketbenchError
    from harness.results import RunStore

    writer = RunStore(Path(sys.argv[1])).start(run_info())
    for number in range(100_000):
        try:
            writer.append(measurement(case=case(threads=number)))
        except PocketbenchError as error:
            print(error)
            break
        print(number, flush=True)
"""


def program(source):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    return [sys.executable, "-c", textwrap.dedent(source)], environment


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "results")


def test_what_is_written_is_read_back(store):
    writer = store.start(run_info())
    taken = [measurement(case=case(threads=n), centre_ms=n) for n in (1, 2, 4)]
    for one in taken:
        writer.append(one)
    ended = writer.finish(NOW)
    run = store.load(RUN_ID)
    assert run.measurements == tuple(taken)
    assert run.info == ended
    assert run.info.finished_at == "2026-11-22T17:45:00+00:00"
    assert run.notes == ()


def test_a_measurement_is_one_line_of_json(store):
    writer = store.start(run_info())
    writer.append(measurement(reason="two\nlines"))
    content = (writer.directory / "measurements.jsonl").read_bytes()
    assert content.count(b"\n") == 1
    assert content.endswith(b"\n")
    assert msgspec.json.decode(content)["case"]["model"] == "ppocr_det"


def test_a_run_without_measurements_is_empty_and_no_error(store):
    store.start(run_info())
    assert store.load(RUN_ID).measurements == ()


def test_a_later_line_of_the_same_case_and_device_replaces_an_earlier_one(store):
    writer = store.start(run_info())
    writer.append(measurement(status="timeout", launches=0))
    writer.append(measurement(device="other"))
    resumed = store.resume("last")
    resumed.append(measurement(centre_ms=20))
    run = store.load(RUN_ID)
    assert [(m.device, m.status) for m in run.measurements] == [("local", "measured"), ("other", "measured")]


def test_a_half_written_last_line_is_left_out_with_a_note(store):
    writer = store.start(run_info())
    writer.append(measurement())
    with (writer.directory / "measurements.jsonl").open("ab") as stream:
        stream.write(b'{"run_id": "20')
    run = store.load(RUN_ID)
    assert len(run.measurements) == 1
    (note,) = run.notes
    assert "half-written (14 bytes)" in note


def test_a_resumed_run_writes_no_line_behind_half_a_line(store):
    writer = store.start(run_info())
    path = writer.directory / "measurements.jsonl"
    for left in (b"{", b"x" * 200_000):
        with path.open("ab") as stream:
            stream.write(left)
        store.resume(RUN_ID).append(measurement())
    run = store.load(RUN_ID)
    assert (len(run.measurements), run.notes) == (1, ())
    assert path.read_bytes().count(b"\n") == 2


def test_a_spoilt_line_is_named_with_its_number(store):
    writer = store.start(run_info())
    writer.append(measurement())
    with (writer.directory / "measurements.jsonl").open("ab") as stream:
        stream.write(b"not json\n")
    with pytest.raises(PocketbenchError, match=r"measurements\.jsonl:2 cannot be read"):
        store.load(RUN_ID)


def test_a_killed_writer_loses_no_line_that_it_finished(store):
    argv, environment = program(APPEND_FOR_EVER)
    with subprocess.Popen([*argv, store.root], env=environment, stdout=subprocess.PIPE) as writer:
        lines = [writer.stdout.readline() for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
    assert lines[-1] == b"19\n"
    assert len(store.load("last").measurements) >= 20
    store.resume("last").append(measurement(case=case(threads=10**6)))
    assert store.load("last").notes == ()


def test_several_processes_append_to_one_run(store):
    store.start(run_info())
    source = """
        import sys
        from pathlib import Path
        from samples import case, measurement
        from harness.results import RunStore
        writer = RunStore(Path(sys.argv[1])).resume("last")
        for number in range(15):
            writer.append(measurement(case=case(threads=number), device=sys.argv[2]))
    """
    argv, environment = program(source)
    writers = [
        subprocess.Popen([*argv, store.root, device], env=environment) for device in ("one", "two", "three")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert len(store.load("last").measurements) == 45


def test_a_full_disk_is_told_with_numbers_and_keeps_every_whole_line(store, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    # A disk of 128 KiB in a namespace of its own, looked at from inside before it is gone.
    source = (
        APPEND_FOR_EVER
        + """
    run = RunStore(Path(sys.argv[1])).load("last")
    content = (run.directory / "measurements.jsonl").read_bytes()
    print("kept", len(run.measurements), "notes", len(run.notes), "whole", content.endswith(b"\\n"))
    """
    )
    argv, environment = program(source)
    script = 'mount -t tmpfs -o size=128k none "$1" && shift && exec "$@"'
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", mount]
    if subprocess.run([*namespace, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this kernel gives no private mounts")
    done = subprocess.run(
        [*namespace, *argv, mount / "results"], env=environment, capture_output=True, text=True, check=True
    )
    *numbers, message, state = done.stdout.splitlines()
    assert len(numbers) > 5
    assert message.startswith("no space left for the results in")
    assert "KiB needed" in message
    assert f"the {len(numbers)} measurements before it are kept; --resume {RUN_ID}" in message
    assert state == f"kept {len(numbers)} notes 0 whole True"


def test_a_file_that_may_not_grow_keeps_every_whole_line(store):
    source = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    """
    argv, environment = program(textwrap.dedent(source) + textwrap.dedent(APPEND_FOR_EVER))
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run(
        [*argv, store.root], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    *numbers, message = done.stdout.splitlines()
    assert "File too large" in message
    run = store.load("last")
    assert (len(run.measurements), run.notes) == (len(numbers), ())


def test_last_is_the_newest_run_that_was_started(store):
    for run_id in ("20261122-174500-b", "20261123-000000-a", "20261121-235959-c"):
        store.start(run_info(run_id=run_id))
    (store.root / "20261231-000000-empty").mkdir()
    (store.root / "notes.txt").write_text("x")
    assert store.resolve("last") == "20261123-000000-a"
    assert store.run_ids()[0] == "20261121-235959-c"


def test_no_runs_yet_says_what_to_do(store):
    with pytest.raises(PocketbenchError, match=r"no runs in .* yet: run pytest suites/"):
        store.load("last")


def test_an_unknown_run_lists_the_nearest_names(store):
    store.start(run_info())
    with pytest.raises(PocketbenchError, match=rf"no run '20261122-174501-abc124' .* mean {RUN_ID}"):
        store.load("20261122-174501-abc124")
    with pytest.raises(PocketbenchError, match=r"no run '\.\./secrets'"):
        store.load("../secrets")


def test_a_run_is_never_started_twice(store):
    store.start(run_info())
    with pytest.raises(PocketbenchError, match="is there already: resume it"):
        store.start(run_info())


@pytest.mark.parametrize("name", ["last", "../up", "a/b", "", ".hidden"])
def test_a_run_id_cannot_leave_the_directory_or_mean_something_else(store, name):
    with pytest.raises(PocketbenchError, match="cannot name a run"):
        store.start(run_info(run_id=name))


def test_a_newer_format_is_refused_and_not_guessed_at(store):
    line = msgspec.json.encode({"schema": 99, "new": True})
    with pytest.raises(PocketbenchError, match=r"here was written by a newer pocketbench \(schema 99"):
        decode_measurement(line, "here")
    directory = store.start(run_info()).directory
    (directory / "run.json").write_bytes(line)
    with pytest.raises(PocketbenchError, match=r"run\.json was written by a newer"):
        store.load(RUN_ID)


def test_a_results_directory_that_cannot_be_made_says_which_option_names_another(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PocketbenchError, match=r"Not a directory.*--results-dir"):
        RunStore(tmp_path / "file").start(run_info())


def test_log_paths_are_one_file_for_each_case_and_device(store):
    writer = store.start(run_info())
    wild = case(model="../../etc/pass wd", runtime_version="1" * 300)
    cases = [case(), case(threads=2), wild, case(model="a/b"), case(model="a-b")]
    paths = {writer.log_path(c, device) for c in cases for device in ("local", "pixel/7", "")}
    assert len(paths) == 15
    for path in paths:
        assert path.parent == writer.directory / "logs"
        path.write_text("x")


@given(st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1)), st.timedeltas(timedelta(microseconds=1)))  # noqa: DTZ001
def test_run_ids_sort_as_time_passes(when, later):
    first = when.replace(tzinfo=UTC)
    try:
        second = first + later
    except OverflowError:
        return
    if second.year < 9999:
        assert new_run_id(first) < new_run_id(second)


def test_run_ids_of_one_moment_differ_and_are_of_one_moment_anywhere():
    ids = {new_run_id(NOW) for _ in range(20)}
    assert len(ids) == 20
    elsewhere = new_run_id(NOW.astimezone(timezone(timedelta(hours=9))))
    assert elsewhere.startswith("20261122-174500-00000")
    with pytest.raises(ValueError, match="time zone"):
        new_run_id(NOW.replace(tzinfo=None))
