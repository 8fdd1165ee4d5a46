"""The user's package index reaches every installer, in whichever way it was set; a real index on loopback."""

import functools
import hashlib
import http.server
import os
import sys
import threading
import zipfile

import pytest

from harness.cache import Cache
from harness.environments import Packages, environment, installed_versions
from harness.models.sources import fetch
from harness.package_index import index_settings, installer_environment, pip_environment

REQUIREMENT = "tinynet==1.0"
WEIGHTS = b"weights"
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


def wheel_in(folder):
    """A wheel that no public index has: one file, no code."""
    folder.mkdir(parents=True)
    path = folder / "tinynet-1.0-py3-none-any.whl"
    info = "tinynet-1.0.dist-info"
    names = ["tinynet/net.onnx", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(names[0], WEIGHTS)
        archive.writestr(names[1], "Metadata-Version: 2.1\nName: tinynet\nVersion: 1.0\n")
        archive.writestr(names[2], "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(names[3], "".join(f"{name},,\n" for name in names))
    return path


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory):
    return wheel_in(tmp_path_factory.mktemp("served") / "wheels").parent


@pytest.fixture(scope="module")
def index(wheelhouse):
    """Address of an index (PEP 503) with that one package."""
    page = wheelhouse.parent / "simple" / "tinynet" / "index.html"
    page.parent.mkdir(parents=True)
    (wheel,) = wheelhouse.iterdir()
    page.write_text(f'<a href="/wheels/{wheel.name}">{wheel.name}</a>')
    handler = functools.partial(QuietHandler, directory=wheelhouse.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user who has set nothing; returns the folder of his settings."""
    for name in os.environ:
        if name.startswith(("PIP_", "UV_")) or name in {"CONDA_PREFIX", "VIRTUAL_ENV", "SSL_CERT_FILE"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    return tmp_path / "config"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def said_to_pip(monkeypatch, home, index, wheelhouse):
    monkeypatch.setenv("PIP_INDEX_URL", index)


def in_pip_conf(monkeypatch, home, index, wheelhouse):
    write(home / "pip" / "pip.conf", f"[global]\nindex-url = {index}\n")


def in_another_pip_conf(monkeypatch, home, index, wheelhouse):
    write(home / "pip" / "pip.conf", "[global]\nindex-url = http://127.0.0.1:9/simple\n")
    path = write(home / "mine.conf", f"[install]\nindex_url = {index}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))


def in_the_conda_environment(monkeypatch, home, index, wheelhouse):
    monkeypatch.setenv("CONDA_PREFIX", str(home / "conda"))
    write(home / "conda" / "pip.conf", f"[global]\nindex-url = {index}\n")


def as_a_folder_for_pip(monkeypatch, home, index, wheelhouse):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheelhouse))


def said_to_uv(monkeypatch, home, index, wheelhouse):
    monkeypatch.setenv("UV_DEFAULT_INDEX", index)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


def said_to_an_older_uv(monkeypatch, home, index, wheelhouse):
    monkeypatch.setenv("UV_INDEX_URL", index)
    write(home / "pip" / "pip.conf", "[global]\nindex-url = http://127.0.0.1:9/simple\n")


def in_uv_toml(monkeypatch, home, index, wheelhouse):
    write(home / "uv" / "uv.toml", f'index = [{{ url = "{index}", default = true }}]\n')
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")


WAYS = [
    said_to_pip,
    in_pip_conf,
    in_another_pip_conf,
    in_the_conda_environment,
    as_a_folder_for_pip,
    said_to_uv,
    said_to_an_older_uv,
    in_uv_toml,
]


@pytest.mark.parametrize("way", WAYS)
def test_the_users_index_is_used_for_environments_and_for_models(
    way, monkeypatch, home, index, wheelhouse, tmp_path
):
    way(monkeypatch, home, index, wheelhouse)
    cache = Cache(tmp_path / "cache")
    packages = Packages(name="tinynet", requirements=(REQUIREMENT,), python=OWN)

    assert installed_versions(environment(cache, packages).site) == {"tinynet": "1.0"}
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    found = fetch(cache, f"pypi:{REQUIREMENT}:tinynet/net.onnx", sha256, base=tmp_path)
    assert found.read_bytes() == WEIGHTS


def test_pip_is_told_the_index_of_uv_only_when_it_has_none(monkeypatch, home, index):
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"mirror={index}")
    assert pip_environment()["PIP_INDEX_URL"] == index
    write(home / "pip" / "pip.conf", "[global]\nindex-url = http://127.0.0.1:9/simple\n")
    assert "PIP_INDEX_URL" not in pip_environment()


def test_pip_is_told_what_uvs_own_file_says(home, index):
    write(home / "uv" / "uv.toml", f'[pip]\nindex-url = "{index}"\n')
    assert pip_environment()["PIP_INDEX_URL"] == index
    assert installer_environment() == dict(os.environ)


def test_pip_itself_is_fetched_also_where_pip_may_use_folders_only(monkeypatch, home, index, wheelhouse):
    as_a_folder_for_pip(monkeypatch, home, index, wheelhouse)
    assert installer_environment()["UV_NO_INDEX"] == "1"
    assert "UV_NO_INDEX" not in pip_environment()


def test_extra_indexes_and_folders_of_pip_are_not_passed_on(monkeypatch, home, index, wheelhouse):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", index)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheelhouse))
    assert installer_environment() == pip_environment() == dict(os.environ)


def test_what_pip_needs_to_trust_its_index_goes_with_it(monkeypatch, home, index):
    write(home / "pip" / "pip.conf", f"[global]\nindex-url={index}\ntrusted-host=127.0.0.1\ncert=/own.pem\n")
    given = installer_environment()
    assert (given["UV_INSECURE_HOST"], given["SSL_CERT_FILE"]) == ("127.0.0.1", "/own.pem")


def test_a_file_that_cannot_be_read_is_left_to_whom_it_belongs(home):
    write(home / "pip" / "pip.conf", "index-url = no section\n")
    write(home / "uv" / "uv.toml", "no toml")
    assert installer_environment() == dict(os.environ)


def test_what_is_remembered_of_an_index_is_not_said_of_another(home, index):
    before = index_settings()
    write(home / "pip" / "pip.conf", f"[global]\nindex-url = {index}\n")
    assert index_settings() != before
