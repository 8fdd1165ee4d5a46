"""`url:` sources whose connection breaks: what came is kept, the rest alone is fetched."""

import hashlib

import pytest
from peers.shells import mounted

from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.models import download
from harness.models.sources import fetch

pytest_plugins = ["peers.hub_fixtures"]

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def source(hub, monkeypatch):
    """A large file, which the hub sends to its storage for."""
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    hub.add("org/net", {"net.onnx": CONTENT})
    return f"url:{hub.endpoint}/org/net/resolve/main/net.onnx"


@pytest.fixture
def tiny_disk(tmp_path):
    yield from mounted(tmp_path / "disk", "size=256k")


def parts(hub):
    return [(first, count) for _, first, count in hub.sent]


def test_a_download_that_is_cut_goes_on_where_it_was(hub, cache, source):
    hub.cuts = [100_000, 200_000]

    path = fetch(cache, source, SHA256, base=cache.root)

    assert path.read_bytes() == CONTENT
    assert parts(hub) == [(0, 100_000), (100_000, 200_000), (300_000, len(CONTENT) - 300_000)]
    assert not list((cache.root / "downloads").glob("*.part"))


def test_a_server_that_keeps_cutting_is_given_up_and_the_next_run_goes_on(hub, cache, source):
    hub.cuts = [100_000, *[0] * download.ATTEMPTS]
    with pytest.raises(PocketbenchError, match=f"ended after 100000 of {len(CONTENT)} bytes"):
        fetch(cache, source, SHA256, base=cache.root)
    hub.sent.clear()

    assert fetch(cache, source, SHA256, base=cache.root).read_bytes() == CONTENT

    assert parts(hub) == [(100_000, len(CONTENT) - 100_000)]


def test_a_file_that_changed_meanwhile_is_fetched_from_the_beginning(hub, cache, source):
    hub.cuts = [100_000, *[0] * download.ATTEMPTS]
    with pytest.raises(PocketbenchError, match="ended after"):
        fetch(cache, source, SHA256, base=cache.root)
    changed = CONTENT[::-1]
    hub.add("org/net", {"net.onnx": changed})
    hub.sent.clear()

    path = fetch(cache, source, hashlib.sha256(changed).hexdigest(), base=cache.root)

    assert path.read_bytes() == changed
    assert parts(hub) == [(0, len(changed))]


def test_a_part_that_is_longer_than_the_file_has_become_is_dropped(hub, cache, source):
    hub.cuts = [100_000, *[0] * download.ATTEMPTS]
    with pytest.raises(PocketbenchError, match="ended after"):
        fetch(cache, source, SHA256, base=cache.root)
    (part,) = (cache.root / "downloads").glob("*.part")
    part.write_bytes(CONTENT + b"more")

    assert fetch(cache, source, SHA256, base=cache.root).read_bytes() == CONTENT


def test_a_server_that_does_not_name_its_content_is_not_asked_for_parts(hub, cache, source):
    hub.etags, hub.cuts = False, [100_000]

    with pytest.raises(PocketbenchError, match=f"ended after 100000 of {len(CONTENT)} bytes"):
        fetch(cache, source, SHA256, base=cache.root)
    assert fetch(cache, source, SHA256, base=cache.root).read_bytes() == CONTENT

    assert parts(hub) == [(0, 100_000), (0, len(CONTENT))]


def test_what_does_not_fit_on_the_disk_is_told_before_it_is_fetched(hub, source, tiny_disk):
    cache = Cache(tiny_disk / "cache")

    with pytest.raises(PocketbenchError) as error:
        fetch(cache, source, SHA256, base=cache.root)

    assert "it takes 1.0 MiB and 0.2 MiB are free" in str(error.value)
    assert "POCKETBENCH_CACHE" in str(error.value)


def test_a_disk_that_fills_up_on_the_way_is_told_as_that(hub, source, tiny_disk, monkeypatch):
    monkeypatch.setattr(download, "_check_room", lambda *_: None)
    cache = Cache(tiny_disk / "cache")

    with pytest.raises(PocketbenchError, match="no space left in the cache"):
        fetch(cache, source, SHA256, base=cache.root)


def test_a_url_without_a_sha256_says_which_it_has_and_is_not_fetched_twice(hub, cache, source):
    with pytest.raises(PocketbenchError, match=f'It is now: sha256 = "{SHA256}"'):
        fetch(cache, source, None, base=cache.root)

    assert fetch(cache, source, SHA256, base=cache.root).read_bytes() == CONTENT
    assert len(hub.sent) == 1


def test_a_page_about_a_large_file_is_a_pointer_and_not_the_file(hub, cache, source):
    hub.pointers = True

    with pytest.raises(PocketbenchError, match=r"net\.onnx is a git-lfs pointer and not the content"):
        fetch(cache, source, SHA256, base=cache.root)
