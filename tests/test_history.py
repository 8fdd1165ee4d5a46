import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
from samples import RUN_ID, case, measurement, run_info

from harness.errors import PocketbenchError, UnknownNameError
from harness.history import History, default_url
from harness.spec import Verdict

pytest_plugins = ["peers.postgres"]

ROOT = Path(__file__).parent.parent
KEY, PRINT = case().key, "f" * 16


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_server").new_database()
    return default_url(tmp_path / "results")


@pytest.fixture
def history(url):
    with History(url) as opened:
        yield opened


def remember(history, run_id, **changes):
    taken = measurement(run_id=run_id, **changes)
    history.record(run_info(run_id=run_id), taken)
    return taken


def test_what_is_recorded_is_read_back_whole(history):
    info = run_info()
    taken = [measurement(case=case(threads=n), centre_ms=n) for n in (1, 2)]
    history.record(info, *taken)
    assert history.runs() == [info]
    assert history.measurements(RUN_ID) == taken


def test_recording_twice_replaces_and_adds_nothing(history):
    remember(history, RUN_ID, centre_ms=30)
    again = remember(history, RUN_ID, centre_ms=26)
    history.record(run_info(finished_at="2026-11-22T18:00:00+00:00"))
    assert history.measurements(RUN_ID) == [again]
    assert [info.finished_at for info in history.runs()] == ["2026-11-22T18:00:00+00:00"]


def test_one_case_on_two_devices_is_two_measurements(history):
    remember(history, RUN_ID)
    remember(history, RUN_ID, device="pixel7", device_fingerprint="a" * 16)
    assert [m.device for m in history.measurements(RUN_ID)] == ["local", "pixel7"]


def test_text_of_any_kind_survives(history):
    odd = measurement(reason="NUL \x00, snowman ☃, quote ', percent %s", device="Müller's phone")
    history.record(run_info(), odd)
    assert history.measurements(RUN_ID) == [odd]


def test_a_history_is_there_the_next_day(url):
    with History(url) as first:
        taken = remember(first, RUN_ID)
    with History(url) as second:
        assert second.measurements(RUN_ID) == [taken]


def test_runs_come_newest_first(history):
    for run_id in ("20261122-a", "20261201-a", "20261101-a"):
        history.record(run_info(run_id=run_id))
    assert [info.run_id for info in history.runs()] == ["20261201-a", "20261122-a", "20261101-a"]


def test_run_ids_are_ordered_byte_by_byte(history):
    for run_id in ("2026-B", "2026-a", "2026_0", "20261"):
        remember(history, run_id)
    assert [info.run_id for info in history.runs()] == ["2026_0", "20261", "2026-a", "2026-B"]
    assert history.baseline(KEY, PRINT, before_run="2026-a").run_id == "2026-B"


def test_the_baseline_is_the_newest_earlier_measurement_that_can_be_trusted(history):
    good = remember(history, "run-2", centre_ms=25)
    remember(history, "run-1")
    wrong = measurement().parity
    wrong = type(wrong)(ok=False, outputs=wrong.outputs, limits=wrong.limits, reference=wrong.reference)
    remember(history, "run-3", parity=wrong)
    remember(history, "run-4", status="crashed", launches=0, latency=None, parity=None)
    remember(history, "run-5", verdict=Verdict(kind="invalid"))
    remember(history, "run-6", case=case(threads=4))
    remember(history, "run-7", device_fingerprint="0" * 16)
    remember(history, "run-8")
    remember(history, "run-9")
    assert history.baseline(KEY, PRINT, before_run="run-8") == good
    assert history.baseline(KEY, PRINT, before_run="run-1") is None
    assert history.baseline(KEY, PRINT).run_id == "run-9"


def test_a_measurement_without_parity_may_be_a_baseline(history):
    remember(history, "run-1", parity=None)
    assert history.baseline(KEY, PRINT, "run-2").run_id == "run-1"


def test_a_named_baseline_stays_where_it_was_put(history):
    for run_id in ("run-1", "run-2", "run-3"):
        remember(history, run_id)
    history.name_baseline("release", "run-2")
    assert history.baseline(KEY, PRINT, "run-9", named="release").run_id == "run-2"
    history.name_baseline("release", "run-1")
    assert history.named_baselines() == {"release": "run-1"}
    assert history.baseline(KEY, PRINT, "run-9", named="release").run_id == "run-1"
    assert history.baseline(KEY, PRINT, "run-9", named="run-3").run_id == "run-3"
    assert history.baseline("another/case", PRINT, "run-9", named="release") is None


def test_a_baseline_that_is_preferred_wins_over_newer_ones(history):
    for number in range(6):
        remember(history, f"run-{number}", device="big" if number % 2 else "little")
    big = lambda found: found.device == "big"  # noqa: E731
    assert history.baseline(KEY, PRINT, "run-5").run_id == "run-4"
    assert history.baseline(KEY, PRINT, "run-5", prefer=big).run_id == "run-3"
    assert history.baseline(KEY, PRINT, "run-5", named="run-0", prefer=big).run_id == "run-0"
    assert history.baseline(KEY, PRINT, "run-5", prefer=lambda _found: False).run_id == "run-4"
    assert history.baseline(KEY, PRINT, "run-0", prefer=big) is None


def test_a_trend_may_be_that_of_one_name_of_the_board(history):
    for number in range(4):
        remember(history, f"run-{number}", device="big" if number % 2 else "little", centre_ms=10 + number)
    assert [point.latency_ms for point in history.trend(KEY, PRINT, device="big")] == [11.0, 13.0]
    assert len(history.trend(KEY, PRINT)) == 4


def test_unknown_names_list_what_there_is(history):
    remember(history, "run-1")
    with pytest.raises(UnknownNameError, match=r"unknown run 'run-7'.*Did you mean run-1"):
        history.measurements("run-7")
    with pytest.raises(UnknownNameError, match="unknown baseline 'relase'"):
        history.baseline(KEY, PRINT, "run-9", named="relase")
    with pytest.raises(UnknownNameError, match="unknown run"):
        history.name_baseline("release", "run-2")
    history.record(run_info(run_id="run-2"))
    assert history.measurements("run-2") == []


def test_the_history_of_a_case_is_its_newest_runs_oldest_first(history):
    for number in range(5):
        remember(history, f"run-{number}", centre_ms=20 + number)
    remember(history, "run-7", device_fingerprint="0" * 16)
    assert [m.run_id for m in history.case_history(KEY, PRINT, 3)] == ["run-2", "run-3", "run-4"]


def test_many_processes_write_to_a_history_that_none_of_them_has_made(url):
    source = """
        import sys
        from samples import case, measurement, run_info
        from harness.history import History
        with History(sys.argv[1]) as history:
            for number in range(12):
                history.record(run_info(), measurement(case=case(threads=number), device=sys.argv[2]))
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    argv = [sys.executable, "-c", textwrap.dedent(source), url]
    writers = [subprocess.Popen([*argv, f"device-{n}"], env=environment) for n in range(4)]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    with History(url) as history:
        assert len(history.measurements(RUN_ID)) == 48


def test_sqlite_readers_do_not_wait_for_a_writer(tmp_path):
    url = default_url(tmp_path)
    with History(url) as history:
        remember(history, RUN_ID)
        other = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
        try:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            other.execute("BEGIN IMMEDIATE")
            assert len(history.measurements(RUN_ID)) == 1
        finally:
            other.close()


def test_newer_tables_are_refused(tmp_path):
    with History(default_url(tmp_path)):
        pass
    with sqlite3.connect(tmp_path / "history.sqlite") as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(PocketbenchError, match=r"newer pocketbench's \(tables 99"):
        History(default_url(tmp_path))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("results/history", "takes a URL such as sqlite:///"),
        ("mysql://host/db", "not mysql://"),
        ("oracle+cx://host/db", r"not oracle\+cx://"),
    ],
)
def test_a_url_that_cannot_be_is_one_clear_error(bad, message):
    with pytest.raises(PocketbenchError, match=message):
        History(bad)


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path):
    (tmp_path / "history.sqlite").write_text("not a database at all" * 100)
    with pytest.raises(PocketbenchError, match=r"cannot use the history .*file is not a database"):
        History(default_url(tmp_path))


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PocketbenchError, match="cannot make the directory of sqlite:///"):
        History(default_url(tmp_path / "file" / "results"))


def test_a_server_that_does_not_answer_is_one_clear_error_without_the_password():
    pytest.importorskip("psycopg")
    with pytest.raises(PocketbenchError, match="cannot use the history") as caught:
        History("postgresql://bench:hunter2@127.0.0.1:1/history")
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:1/history" in str(caught.value)


def test_a_missing_driver_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(PocketbenchError, match=r"install pocketbench\[postgres\]"):
        History("postgresql://bench@127.0.0.1:1/history")


def test_a_trend_holds_what_was_measured_oldest_first(tmp_path):
    with History(default_url(tmp_path)) as history:
        for day, latency in ((1, 20.0), (2, None), (3, 22.0)):
            run = f"2026112{day}-000000-aaaaaaaaaa"
            changes = {} if latency else {"status": "crashed", "latency": None, "launches": ()}
            done = measurement(run_id=run, centre_ms=latency or 1.0)
            history.record(run_info(run_id=run), msgspec.structs.replace(done, **changes))
        key, fingerprint = done.case.key, done.device_fingerprint
        assert [point.latency_ms for point in history.trend(key, fingerprint)] == [20.0, 22.0]
        assert [point.latency_ms for point in history.trend(key, fingerprint, limit=1)] == [22.0]
        assert history.trend(key, "another device") == []
