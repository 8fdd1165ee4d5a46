"""What tests of the doctor share: `pytest_plugins = ["peers.doctor_fixtures"]` in a test module."""

import json
from contextlib import ExitStack

import pytest

from devices.inventory import find_device

from .ssh_devices import tmpfs

pytest_plugins = ["peers.noisy_fixtures"]


@pytest.fixture
def inventory(tmp_path):
    folder = tmp_path / "inventory"
    folder.mkdir()
    return folder


@pytest.fixture
def described(inventory, noisy_sshd):
    """Writes `NAME.toml` for the server, with changed or further lines."""

    def write(name="board", *, server=noisy_sshd, **changed):
        said = {
            "driver": "ssh",
            "host": server.host,
            "port": server.port,
            "user": server.user,
            "identity_file": str(server.identity_file),
            "known_hosts_file": str(server.known_hosts),
            **changed,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in said.items()]
        (inventory / f"{name}.toml").write_text("\n".join(lines) + "\n")
        return find_device(name, [inventory], lock_timeout_s=0)

    return write


@pytest.fixture
def mounted_tmpfs(tmp_path):
    """Mounts a small tmpfs with options, where a device of the file's may have its work directory."""
    places = []
    with ExitStack() as mounts:

        def mount(options):
            places.append(tmp_path / f"mount {len(places)}")
            return mounts.enter_context(tmpfs(places[-1], options))

        yield mount
