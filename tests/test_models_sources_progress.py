"""How far a download is, told while it comes: by whom, of what, and where a person looks."""

import hashlib
from threading import Event

import pytest

from harness.cache import Cache
from harness.cli import stages
from harness.errors import PocketbenchError
from harness.models import download
from harness.models.forms import parse_source
from harness.models.sources import fetch
from harness.pace import MIB, Pace

pytest_plugins = ["peers.hub_fixtures"]

CONTENT = hashlib.shake_256(b"weights").digest(24 * MIB)
"""More than twice what huggingface_hub writes at once."""
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def heard():
    """What was told, in order."""
    return []


@pytest.fixture
def cache(tmp_path, heard):
    return Cache(tmp_path / "cache").telling(lambda *told: heard.append(told))


@pytest.fixture
def half_way(hub, cache, heard):
    """A hub that sends the last of a large file only when it was told that some of it has come."""
    go = Event()
    hub.held = (22 * MIB, go)

    def hear(what, done, total):
        heard.append((what, done, total))
        if 0 < done < total:
            go.set()

    return cache.telling(hear)


def a_net(hub):
    """The commit of a repository with one large file."""
    return hub.add("org/net", {"model.onnx": CONTENT})


def url(hub):
    return f"url:{hub.endpoint}/org/net/resolve/main/model.onnx"


@pytest.mark.parametrize("scheme", ["hf", "url"])
def test_a_download_says_how_far_it_is_while_it_comes(hub, half_way, heard, scheme):
    commit = a_net(hub)
    source = url(hub) if scheme == "url" else f"hf:org/net@{commit}"

    fetch(half_way, source, SHA256 if scheme == "url" else None, base=half_way.root)

    assert {what for what, _, _ in heard} == {"model.onnx" if scheme == "url" else "org/net"}
    assert {total for _, _, total in heard} == {len(CONTENT)}
    amounts = [done for _, done, _ in heard]
    assert amounts == sorted(amounts)
    assert (amounts[0], amounts[-1]) == (0, len(CONTENT))


def test_a_download_that_goes_on_begins_with_what_is_there(hub, cache, heard, monkeypatch):
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    a_net(hub)
    hub.cuts = [5 * MIB, *[0] * download.ATTEMPTS]
    with pytest.raises(PocketbenchError, match="ended after"):
        fetch(cache, url(hub), SHA256, base=cache.root)
    heard.clear()

    fetch(cache, url(hub), SHA256, base=cache.root)

    assert heard[0] == ("model.onnx", 5 * MIB, len(CONTENT))
    assert heard[-1] == ("model.onnx", len(CONTENT), len(CONTENT))


def test_only_what_is_missing_in_the_hubs_cache_counts(hub, cache, heard):
    first = hub.add("org/net", {"model.onnx": CONTENT[:MIB], "config.json": b"{}"})
    fetch(cache, f"hf:org/net@{first}", None, base=cache.root)
    heard.clear()

    fetch(cache, f"hf:org/net@{first}:config.json", hashlib.sha256(b"{}").hexdigest(), base=cache.root)

    assert heard == []


def test_what_comes_is_told_without_what_an_address_asks_for():
    (place,) = parse_source("url:https://models.example/nets/net.onnx?token=secret")
    assert place.title == "net.onnx"
    (place,) = parse_source("hf:org/net@main:onnx/model.onnx")
    assert place.title == "org/net"


def test_amounts_have_a_rate_and_the_time_left_once_some_has_come():
    now = [100.0]
    pace = Pace(lambda: now[0])
    assert pace.told("net", 4 * MIB, 500 * MIB) == "4.0 of 500 MiB"
    now[0] += 2.0
    assert pace.told("net", 104 * MIB, 500 * MIB) == "104 of 500 MiB, 50.0 MiB/s, about 8 s left"
    assert pace.told("other", 0, 0) == "0.0 MiB"
    now[0] += 1.0
    assert pace.told("other", 30 * MIB, 0) == "30 MiB, 30.0 MiB/s", "nobody knows how much there is"


def test_the_rate_of_another_file_of_the_same_name_is_its_own():
    now = [0.0]
    pace = Pace(lambda: now[0])
    pace.told("net", 0, 10 * MIB)
    now[0] = 100.0
    pace.told("net", 10 * MIB, 10 * MIB)
    assert pace.told("net", 0, 10 * MIB) == "0.0 of 10 MiB"
    now[0] = 101.0
    assert pace.told("net", 5 * MIB, 10 * MIB) == "5.0 of 10 MiB, 5.0 MiB/s, about 1 s left"


def test_a_terminal_shows_a_download_until_it_is_there(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with stages.Stages() as told:
        told.report("converting net", 0, 0)
        told.downloading("org/net", 3 * MIB, 12 * MIB)
    printed = capsys.readouterr()
    assert "downloading org/net" in printed.err
    assert "3.0 of 12 MiB" in printed.err
    assert printed.out == "", "which is for what was made"

    with stages.Stages() as told:
        told.report("converting net", 0, 0)
        told.downloading("org/net", 12 * MIB, 12 * MIB)
    assert "converting net" in (printed := capsys.readouterr()).err
    assert "downloading" not in printed.err


def test_a_log_has_a_line_now_and_then_and_none_for_what_is_quickly_there(capsys, monkeypatch):
    with stages.Stages() as told:
        told.downloading("org/net", 3 * MIB, 12 * MIB)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(stages, "PLAIN_EVERY_S", -1.0)
        told.downloading("org/net", 6 * MIB, 12 * MIB)
    assert capsys.readouterr().err.startswith("downloading org/net: 6.0 of 12 MiB")
