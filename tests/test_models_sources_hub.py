"""`hf:` sources, fetched by the real huggingface_hub from a hub on loopback."""

import hashlib
import os
import shutil
import subprocess
import sys

import pytest
from peers.shells import mounted

from harness.cache import Cache
from harness.errors import PocketbenchError
from harness.models.sources import content_sha256, fetch

pytest_plugins = ["peers.hub_fixtures"]

WEIGHTS = b"weights " * 1000
FILES = {
    "config.json": b'{"model_type": "net"}',
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"the same again",
    "README.md": b"# net",
    ".gitattributes": b"",
    "onnx/model.onnx": b"onnx",
}
NEEDED = ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def tiny_disk(tmp_path):
    yield from mounted(tmp_path / "disk", "size=64k")


def got(cache, source, sha256=None):
    return fetch(cache, source, sha256, base=cache.root)


def refused(cache, source, sha256=None):
    """The message with which a source is refused; nothing of it stays in the cache."""
    with pytest.raises(PocketbenchError) as error:
        got(cache, source, sha256)
    assert not [path for path in (cache.root / "sources").glob("*") if path.is_dir()]
    return str(error.value)


def names_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_commit_needs_no_sha256_and_gives_what_the_model_needs_once(hub, cache):
    source = f"hf:org/net@{hub.add('org/net', FILES)}"

    folder = got(cache, source)

    assert folder.name == "net"
    assert names_in(folder) == NEEDED
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.bytes_sent("pytorch_model.bin") == 0
    assert {path.split("/")[1] for path in hub.asked} == {"api", "org"}, "and nothing about us was told"
    assert not [path for path in hub.asked if "/api/" in path and "/api/models/org/net/" not in path]
    asked = len(hub.asked)
    assert got(cache, source) == folder
    assert len(hub.asked) == asked
    assert got(cache, source, content_sha256(folder)).name == "net"


def test_one_file_of_a_repository_is_that_file(hub, cache):
    commit = hub.add("org/net", FILES)

    path = got(cache, f"hf:org/net@{commit}:onnx/model.onnx", hashlib.sha256(b"onnx").hexdigest())

    assert path.name == "model.onnx"
    assert path.read_bytes() == b"onnx"
    assert len(hub.sent) == 1


def test_a_branch_without_a_sha256_is_refused_with_the_commit_to_write_down(hub, cache):
    commit = hub.add("org/net", FILES)

    for source in ("hf:org/net@main", "hf:org/net"):
        message = refused(cache, source)
        assert message.endswith(
            f'leads to now (a full commit needs no sha256): source = "hf:org/net@{commit}"'
        )
    assert hub.sent == []


def test_a_branch_with_a_sha256_is_held_to_it_when_it_moves(hub, cache, tmp_path):
    hub.add("org/net", FILES)
    sha256 = content_sha256(got(cache, f"hf:org/net@{hub.commit('org/net')}"))
    assert content_sha256(got(cache, "hf:org/net@main", sha256)) == sha256

    hub.add("org/net", {"config.json": b"{}"})

    message = refused(Cache(tmp_path / "other"), "hf:org/net@main", sha256)
    assert "is not the folder it should be" in message
    assert f"expected {sha256}" in message


def test_a_damaged_copy_in_the_cache_is_made_anew(hub, cache):
    source = f"hf:org/net@{hub.add('org/net', FILES)}"
    folder = got(cache, source)
    (folder / "config.json").unlink()

    assert names_in(got(cache, source)) == NEEDED


def test_a_download_that_is_cut_goes_on_where_it_was(hub, cache):
    block = 10 << 20  # what huggingface_hub writes at once; what it has of the next is lost
    large = bytes(block + 100_000)
    commit = hub.add("org/net", {"config.json": b"{}", "model.safetensors": large})
    hub.cuts = [block + 50_000]

    folder = got(cache, f"hf:org/net@{commit}")

    assert (folder / "model.safetensors").read_bytes() == large
    parts = [(first, count) for path, first, count in hub.sent if path.endswith("model.safetensors")]
    assert parts == [(0, block + 50_000), (block, 100_000)]


def test_a_download_that_keeps_being_cut_is_told_and_what_was_whole_is_kept(hub, cache):
    source = f"hf:org/net@{hub.add('org/net', FILES)}"
    hub.cuts = [100, *[0] * 5]

    message = refused(cache, source)
    assert f"the download from {hub.endpoint} broke off" in message

    hub.sent.clear()
    assert (got(cache, source) / "model.safetensors").read_bytes() == WEIGHTS
    assert {path for path, *_ in hub.sent} == {"/org/net/model.safetensors"}


def test_the_token_is_shown_to_the_hub_alone_and_to_nobody_in_a_message(hub, cache, monkeypatch):
    commit = hub.add("org/net", FILES)
    hub.gated.add("org/net")
    source = f"hf:org/net@{commit}"

    message = refused(cache, source)
    assert f"the hub at {hub.endpoint} does not let you have org/net (it answers 401" in message
    assert "HF_TOKEN" in message

    monkeypatch.setenv("HF_TOKEN", "hf_aWrongOne")
    message = refused(cache, source)
    assert "it answers 403" in message
    assert "You showed (token)." in message

    monkeypatch.setenv("HF_TOKEN", "hf_theRightOne")
    hub.tokens.add("hf_theRightOne")
    assert names_in(got(cache, source)) == NEEDED
    assert hub.authorized == {"hub": {"hf_aWrongOne", "hf_theRightOne"}, "storage": set()}
    written = [p for p in cache.root.rglob("*") if p.is_file() and b"hf_theRightOne" in p.read_bytes()]
    assert written == []


def test_the_token_of_hf_auth_login_is_told_to_nobody_either(hub, cache, tmp_path, monkeypatch):
    hub.gated.add("org/net")
    source = f"hf:org/net@{hub.add('org/net', FILES)}"
    for name, path in (("HF_HOME", tmp_path / "hf-home"), ("HF_TOKEN_PATH", tmp_path / "elsewhere")):
        monkeypatch.setenv(name, str(path))
        file = path / "token" if name == "HF_HOME" else path
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"hf_ofTheFileOf{name}\n")
        assert "You showed (token)." in refused(cache, source)
    assert hub.authorized["hub"] == {"hf_ofTheFileOfHF_HOME", "hf_ofTheFileOfHF_TOKEN_PATH"}


def test_a_password_in_the_hubs_address_is_not_printed(hub, cache, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint.replace("://", "://somebody:secret@"))
    message = refused(cache, "hf:org/net@main", "0" * 64)
    assert "the hub at http://(password)@127.0.0.1" in message
    assert "secret" not in message


def test_a_hub_that_lists_a_file_outside_of_the_repository_is_told_with_its_name(hub, cache):
    commit = hub.add("org/net", {**FILES, "own.json": b"{}"})
    hub.renamed["own.json"] = "/etc/own.json"
    message = refused(cache, f"hf:org/net@{commit}")
    assert "/etc/own.json" in message
    assert "JSON" not in message


def test_a_name_that_the_hub_does_not_know_is_told_with_the_nearest(hub, cache):
    commit = hub.add("org/small-net", FILES)

    message = refused(cache, "hf:other/small-net@main", "0" * 64)
    assert "shows no repository other/small-net" in message
    assert "Nearest that it has: org/small-net" in message

    message = refused(cache, "hf:org/small-net@mian", "0" * 64)
    assert "org/small-net has no revision 'mian'" in message
    assert "It has main" in message

    message = refused(cache, f"hf:org/small-net@{commit}:onnx/modell.onnx", "0" * 64)
    assert "org/small-net holds no onnx/modell.onnx. Nearest of its files: onnx/model.onnx" in message


def test_a_hub_that_cannot_be_reached_is_named_with_the_ways_out(hub, cache, monkeypatch):
    endpoint = "http://127.0.0.1:9"
    monkeypatch.setenv("HF_ENDPOINT", endpoint)

    message = refused(cache, f"hf:org/net@{'a' * 40}")

    for part in (
        f"the hub at {endpoint} cannot be reached",
        "HF_ENDPOINT=URL",
        "HF_HUB_OFFLINE=1",
        "file:FOLDER",
    ):
        assert part in message


def test_without_a_network_the_hubs_own_cache_is_used_if_it_holds_all(hub, cache, tmp_path, monkeypatch):
    commit = hub.add("org/net", FILES)
    got(cache, f"hf:org/net@{commit}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.asked)

    assert names_in(got(Cache(tmp_path / "other"), f"hf:org/net@{commit}")) == NEEDED
    message = refused(Cache(tmp_path / "third"), f"hf:org/net@{commit}:onnx/model.onnx")
    assert "not in the hub's cache" in message
    assert "HF_HUB_OFFLINE is set" in message
    assert len(hub.asked) == asked


def test_a_mirror_that_has_pointers_only_is_told_and_asked_anew_the_next_time(hub, cache):
    source = f"hf:org/net@{hub.add('org/net', FILES)}"
    hub.pointers = True
    assert "serves a git-lfs pointer instead of the content: model.safetensors" in refused(cache, source)

    hub.pointers = False
    assert (got(cache, source) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_mirror_that_changes_a_file_is_found_out_without_a_sha256(hub, cache):
    source = f"hf:org/net@{hub.add('org/net', FILES)}"
    hub.spoiled = True

    assert "serves another file than the commit holds: config.json" in refused(cache, source)


def test_a_mirror_that_answers_with_another_commit_is_not_believed(hub, cache):
    source = f"hf:org/net@{hub.add('org/net', FILES)}"
    hub.claimed = "b" * 40

    assert f"asked for a commit, it answers with another, {'b' * 40}" in refused(cache, source)
    assert hub.sent == []


def test_a_repository_without_a_file_that_is_wanted_says_what_it_holds(hub, cache):
    source = f"hf:org/net@{hub.add('org/net', FILES)} only=*.gguf"

    assert "org/net holds no file that is wanted. Nearest of its files: " in refused(cache, source)


def test_a_server_that_is_busy_or_no_hub_is_told_as_that(hub, cache):
    hub.status = 503
    assert "it answers 503: busy. Try again later" in refused(cache, "hf:org/net@main", "0" * 64)
    hub.status, hub.page = None, True
    assert "is no hub (it does not answer in JSON). Look at HF_ENDPOINT" in refused(
        cache, "hf:org/net@main", "0" * 64
    )


def test_a_full_disk_is_told_before_anything_is_fetched(hub, cache, tiny_disk, monkeypatch):
    commit = hub.add("org/net", {"config.json": b"{}", "model.safetensors": bytes(200_000)})
    monkeypatch.setenv("HF_HOME", str(tiny_disk / "hf"))

    message = refused(cache, f"hf:org/net@{commit}")

    assert f"no space left in the hub's cache {tiny_disk}/hf/hub (0.2 MiB are to be fetched" in message
    assert "HF_HOME" in message
    assert hub.sent == []


def test_a_disk_that_fills_up_on_the_way_is_told_as_that(hub, cache, tiny_disk, monkeypatch):
    # Few bytes, but every file takes a page.
    commit = hub.add("org/net", {f"{number}.json": b"%d" % number for number in range(30)})
    monkeypatch.setenv("HF_HOME", str(tiny_disk / "hf"))

    message = refused(cache, f"hf:org/net@{commit}")

    assert f"no space left in the hub's cache {tiny_disk}/hf/hub (0.0 MiB free)" in message


def test_what_lies_on_another_disk_is_linked_and_fetched_again_when_it_has_gone(hub, tmp_path, tiny_disk):
    cache = Cache(tiny_disk / "cache")
    source = f"hf:org/net@{hub.add('org/net', {**FILES, 'model.safetensors': bytes(200_000)})}"

    folder = got(cache, source)
    assert (folder / "model.safetensors").is_symlink()
    shutil.rmtree(os.environ["HF_HOME"])

    assert (got(cache, source) / "model.safetensors").stat().st_size == 200_000


def test_fetching_leaves_huggingface_hub_out_of_this_process():
    code = "import sys, harness.models.sources; print({'huggingface_hub', 'httpx2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
