"""A real PostgreSQL server of the tests' own: private data, a Unix socket, no TCP, gone at the end."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


class PostgresServer:
    """A running server that hands out empty databases."""

    def __init__(self, directory, bin_directory):
        self.directory = directory
        self._bin = bin_directory
        self._numbers = itertools.count(1)

    def url(self, database):
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def new_database(self):
        name = f"history_{next(self._numbers)}"
        command = [self._bin / "createdb", "-h", self.directory, "-U", "postgres", name]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return self.url(name)


def bin_directory():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def running_server(programs):
    # Short, because a socket's path may have 107 bytes; and the server refuses to run as root.
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    owner = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(directory, entry.pw_uid, entry.pw_gid)
        owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    data = directory / "data"
    try:
        make = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, timeout=120, cwd=directory, **owner)
        settings = ("listen_addresses=", f"unix_socket_directories={directory}", "fsync=off")
        options = [word for setting in settings for word in ("-c", setting)]
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *options],
                stdout=log,
                stderr=log,
                cwd=directory,
                **owner,
            )
        try:
            _wait_until_ready(programs, directory, server)
            yield PostgresServer(directory, programs)
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until_ready(programs, directory, server):
    ready = [programs / "pg_isready", "-q", "-h", directory]
    deadline = time.monotonic() + 60
    while subprocess.run(ready, check=False, timeout=20).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"PostgreSQL did not start:\n{(directory / 'log').read_text()}")
        time.sleep(0.05)


@pytest.fixture(scope="session")
def postgres_server():
    pytest.importorskip("psycopg")
    programs = bin_directory()
    if programs is None:
        pytest.skip("no PostgreSQL server here (Debian: apt-get install postgresql)")
    with running_server(programs) as server:
        yield server
