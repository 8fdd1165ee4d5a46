"""The emulated boards as fixtures: `pytest_plugins = ["peers.fixtures"]` in a test module."""

import pytest

from devices.remote.shell import Shell

from .board import Board
from .machine import Machine
from .ssh_connections import connected
from .ssh_devices import destination_of
from .ssh_peer import SshPeer


@pytest.fixture(scope="session")
def board():
    """One board for all tests of the session: a test leaves it as it was, or takes `own_board`."""
    yield from _started_and_stopped(Board)


@pytest.fixture
def board_shell(board):
    with connected(destination_of(board, user="root")) as connection:
        yield Shell("board", connection)


@pytest.fixture(scope="session")
def machine():
    """One machine for all tests of the session."""
    yield from _started_and_stopped(Machine)


@pytest.fixture
def own_board():
    """Starts boards for one test alone: `own_board(python=False)`."""
    started = []

    def start(**options) -> Board:
        _skip_without(Board)
        board = Board(**options)
        board.start()
        started.append(board)
        return board

    yield start
    for board in started:
        board.stop()


def _started_and_stopped(peer_class: type[SshPeer]):
    _skip_without(peer_class)
    with peer_class() as peer:
        yield peer


def _skip_without(peer_class: type[SshPeer]) -> None:
    if lacking := peer_class.missing():
        pytest.skip(f"{peer_class.__name__} needs {lacking} (see tests/setup.sh)")
