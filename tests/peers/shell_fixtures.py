"""What tests of connections, shells and transfer share: `pytest_plugins = ["peers.shell_fixtures"]`."""

import pytest

from .proxy import Proxy
from .shells import ODD_NAMES, Connected, make_tree, mounted
from .sshd import Sshd


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory of ours with nothing in it, and no agent."""
    folder = tmp_path / "a home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    if Sshd.missing():
        pytest.skip(Sshd.missing())
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def own_sshd(tmp_path):
    """A server for one test alone."""
    if Sshd.missing():
        pytest.skip(Sshd.missing())
    with Sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def proxy(sshd):
    with Proxy(sshd.host, sshd.port) as standing:
        yield standing


@pytest.fixture
def shell(sshd):
    with Connected(sshd) as connected:
        yield connected


@pytest.fixture
def shaky(sshd, proxy):
    with Connected(sshd, port=proxy.port) as connected:
        yield connected


@pytest.fixture
def workdir(tmp_path):
    path = tmp_path / "a workdir with 'quotes\" and $HOME"
    path.mkdir()
    return path


@pytest.fixture
def small_disk(tmp_path):
    yield from mounted(tmp_path / "small disk", "size=6m")


@pytest.fixture
def odd_tree(tmp_path):
    root = tmp_path / "odd"
    for name in ODD_NAMES:
        make_tree(root / name, {name: name.encode()})
    (root / "empty directory" / "within").mkdir(parents=True)
    (root / "empty").touch()
    (root / "program").write_text("#!/bin/sh\necho ran\n")
    (root / "program").chmod(0o755)
    (root / "link").symlink_to("a b/a b")
    (root / "a b" / "up").symlink_to("../program")
    (root / "broken").symlink_to("nowhere")
    (root / "long link").symlink_to("n" * 150)
    return root
