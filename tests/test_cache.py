"""The cache: built once, whole or not at all, whatever dies, races or fills up."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from harness.cache import Cache, digest_of, file_sha256, tree_sha256
from harness.errors import ConversionError, PocketbenchError, UnsupportedError

KEY = {"model": "a", "options": {"fp16": 1}}

# Builds the entry for KEY slowly, noting every build; prints the entry's content.
BUILDS = """
import sys, time
from pathlib import Path
from harness.cache import Cache

def build(path):
    with open(sys.argv[2], "a") as notes:
        notes.write("built\\n")
    (path / "half").write_text("half")
    time.sleep(float(sys.argv[3]))
    (path / "whole").write_text("whole")

entry = Cache(Path(sys.argv[1])).entry("things", {"model": "a", "options": {"fp16": 1}}, build)
print(*sorted(p.name for p in entry.iterdir()))
"""

pytest_plugins = ["peers.disk_fixtures"]


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def whole(path):
    (path / "whole").write_text("whole")


def builder(cache, notes, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", BUILDS, cache.root, notes, str(seconds)], stdout=subprocess.PIPE, text=True
    )


def left_behind(cache, kind="things"):
    return [p.name for p in (cache.root / kind).iterdir() if p.name.startswith(".")]


def test_an_entry_is_built_once_and_found_ever_after(cache, tmp_path):
    calls = []
    entry = cache.entry("things", KEY, lambda path: (calls.append(path), whole(path)))
    assert (entry / "whole").read_text() == "whole"
    assert cache.entry("things", KEY, whole) == Cache(cache.root).entry("things", KEY, whole) == entry
    assert len(calls) == 1
    assert calls[0] != entry, "built under another name"
    assert cache.built == [f"things/{entry.name}"]
    assert (entry / "key.json").read_bytes().startswith(b"{")


def test_another_key_or_kind_is_another_entry(cache):
    entries = {
        cache.entry(kind, key, whole) for kind in ("things", "others") for key in (KEY, {**KEY, "model": "b"})
    }
    assert len(entries) == 4


def test_the_order_of_a_keys_items_does_not_matter():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


def test_a_tree_is_hashed_by_names_and_contents_not_by_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "file").write_text("content")
    same = tree_sha256(tmp_path / "one")
    assert same == tree_sha256(tmp_path / "two")
    (tmp_path / "two" / "sub" / "file").rename(tmp_path / "two" / "file")
    assert same != tree_sha256(tmp_path / "two")
    assert file_sha256(tmp_path / "one" / "sub" / "file") == file_sha256(tmp_path / "two" / "file")


def test_threads_that_want_the_same_entry_build_it_once(cache):
    calls = []
    barrier = threading.Barrier(8)

    def build(path):
        calls.append(path)
        time.sleep(0.1)
        whole(path)

    def want(_):
        barrier.wait()
        return cache.entry("things", KEY, build)

    with ThreadPoolExecutor(8) as pool:
        entries = set(pool.map(want, range(8)))
    assert len(entries) == len(calls) == len(cache.built) == 1


def test_processes_that_want_the_same_entry_build_it_once(cache, tmp_path):
    wanting = [builder(cache, tmp_path / "notes", 0.3) for _ in range(4)]
    assert [process.communicate()[0] for process in wanting] == ["half key.json whole\n"] * 4
    assert (tmp_path / "notes").read_text() == "built\n"


def test_a_killed_builder_leaves_nothing_half_built_and_the_next_one_cleans_up(cache, tmp_path):
    first = builder(cache, tmp_path / "notes", 300)
    deadline = time.monotonic() + 20
    while not list((cache.root / "things").glob(".*/half")):
        assert time.monotonic() < deadline, "the builder did not begin"
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not cache.has("things", KEY)
    assert left_behind(cache)
    entry = cache.entry("things", KEY, whole)
    assert sorted(path.name for path in entry.iterdir()) == ["key.json", "whole"]
    assert not left_behind(cache)


def test_a_refusal_is_remembered_with_its_log_and_not_tried_again(cache):
    def refuse(path):
        (path / "half").write_text("half")
        raise ConversionError("no layer for Einsum", "a long log")

    with pytest.raises(ConversionError, match="Einsum"):
        cache.entry("things", KEY, refuse)
    assert cache.has("things", KEY)
    with pytest.raises(ConversionError, match="Einsum") as again:
        Cache(cache.root).entry("things", KEY, whole)
    assert again.value.log == "a long log"
    assert not left_behind(cache)
    cache.forget("things", KEY)
    assert (cache.entry("things", KEY, whole) / "whole").exists()


class NoWheelError(UnsupportedError):
    """A refusal that is no converter's."""


def test_a_refusal_of_another_kind_is_remembered_as_what_it_is_and_for_what_it_depended_on(cache):
    calls = []

    def refuse(path):
        calls.append(path)
        raise NoWheelError("not for this processor")

    for given in ("an index", "an index", "another one"):
        with pytest.raises(NoWheelError, match="not for this processor"):
            Cache(cache.root).entry("things", KEY, refuse, refusal=NoWheelError, given=given)
    assert len(calls) == 2
    assert (
        Cache(cache.root).entry("things", KEY, whole, refusal=NoWheelError, given="a third") / "whole"
    ).exists()


def test_who_asks_again_gets_what_was_refused_and_then_everybody_does(cache):
    def refuse(path):
        raise ConversionError("not today", "log")

    for _ in range(2):
        with pytest.raises(ConversionError):
            Cache(cache.root, ask_again=True).entry("things", KEY, refuse)
    with pytest.raises(ConversionError):
        Cache(cache.root).entry("things", KEY, whole)
    entry = Cache(cache.root, ask_again=True).entry("things", KEY, whole)
    assert Cache(cache.root).entry("things", KEY, refuse) == entry
    cache.forget("things", KEY)
    assert not cache.has("things", KEY)
    assert not left_behind(cache)


@pytest.mark.parametrize("error", [PocketbenchError("no network"), KeyboardInterrupt(), ValueError("bug")])
def test_any_other_error_is_passed_on_and_forgotten(cache, error):
    def fail(path):
        (path / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        cache.entry("things", KEY, fail)
    assert not cache.has("things", KEY)
    assert not left_behind(cache)
    assert (cache.entry("things", KEY, whole) / "whole").exists()


def test_an_os_error_that_says_nothing_of_the_cache_stays_itself(cache):
    def fail(path):
        (path / "no such directory" / "file").write_text("")

    with pytest.raises(FileNotFoundError):
        cache.entry("things", KEY, fail)


def test_forgetting_what_is_not_there_is_fine(cache):
    cache.forget("things", KEY)
    assert not cache.has("things", KEY)


def test_a_full_disk_is_told_with_numbers_and_leaves_room_again(mounted):
    cache = Cache(mounted("size=256k") / "cache")
    kept = cache.entry("things", {"model": "small"}, whole)
    with pytest.raises(PocketbenchError) as told:
        cache.entry("things", KEY, lambda path: (path / "large").write_bytes(b"x" * 2**20))
    assert f"no space left in the cache {cache.root} (" in str(told.value)
    assert "MiB free" in str(told.value)
    assert "POCKETBENCH_CACHE" in str(told.value)
    assert (kept / "whole").read_text() == "whole"
    assert not cache.has("things", KEY)
    assert not left_behind(cache)
    assert (cache.entry("things", KEY, whole) / "whole").exists()


def test_a_refusal_on_a_full_disk_is_still_the_refusal_and_nothing_broken_is_remembered(mounted):
    disk = mounted("size=256k")
    cache = Cache(disk / "cache")

    def fill_and_refuse(path):
        with (disk / "filler").open("wb", 0) as stream, suppress(OSError):
            while stream.write(b"x" * 4096):
                pass
        raise ConversionError("no layer for Einsum", "log " * 5000)

    with pytest.raises(ConversionError, match="Einsum"):
        cache.entry("things", KEY, fill_and_refuse)
    (disk / "filler").unlink()
    assert (cache.entry("things", KEY, whole) / "whole").exists()


@pytest.mark.parametrize("known", [True, False], ids=["known kind", "new kind"])
def test_a_cache_that_cannot_be_written_serves_what_it_has_and_tells_the_rest(mounted, known):
    cache = Cache(mounted("size=256k,rw") / "cache")
    kept = cache.entry("things", {"model": "small"}, whole)
    mounted("ro")
    assert cache.entry("things", {"model": "small"}, whole) == kept
    with pytest.raises(PocketbenchError) as told:
        cache.entry("things" if known else "others", KEY, whole)
    assert f"cannot write the cache {cache.root} (Read-only file system)" in str(told.value)
    assert "POCKETBENCH_CACHE" in str(told.value)


def test_the_environment_says_where_the_cache_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("POCKETBENCH_CACHE", str(tmp_path / "elsewhere"))
    assert Cache().root == tmp_path / "elsewhere"
    monkeypatch.delenv("POCKETBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Cache().root == tmp_path / "xdg" / "pocketbench"
