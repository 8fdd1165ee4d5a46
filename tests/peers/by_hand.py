"""Runs a peer in the foreground for a person, and writes the device file to reach it by."""

import argparse
import signal
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from .ssh_peer import SshPeer


class Peer(AbstractContextManager, Protocol):
    """What is up within its `with` block, and can be reached by a device file and by hand."""

    device_name: str

    def device_file(self) -> str:
        """The text of the device file."""
        ...

    def way_in(self) -> str:
        """The command line by which a person gets in."""
        ...


def main(peer_class: type[SshPeer]) -> int:
    """Until Ctrl-C or SIGTERM, or as long as COMMAND runs, whose exit code it returns."""
    arguments = parsed(parser(peer_class.__name__.lower(), peer_class.description))
    if lacking := peer_class.missing():
        return refused(lacking)
    return keep_up(peer_class(directory=arguments.directory), arguments.directory, arguments.command)


def parser(module: str, description: str) -> argparse.ArgumentParser:
    """DIRECTORY and COMMAND of a module in tests/peers; more options may be added."""
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.peers.{module}",
        usage="%(prog)s [options] directory [-- COMMAND ...]",
        description=f"{description}. Runs until Ctrl-C, or until COMMAND ends.",
    )
    parser.add_argument("directory", type=Path, help="where the device file and the keys are written")
    return parser


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The words given; what stands behind `--` is the `command`."""
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    return parser.parse_args(words[:end], argparse.Namespace(command=words[end + 1 :]))


def refused(lacking: str) -> int:
    """Tells what the machine lacks; the exit code."""
    print(f"This machine lacks {lacking}; see tests/setup.sh.", file=sys.stderr)
    return 2


def keep_up(peer: Peer, directory: Path, command: list[str]) -> int:
    """Start `peer`, and stop it when `command` ends, or when the person has enough; the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    directory.mkdir(parents=True, exist_ok=True)
    print("starting; the first time packages are fetched and unpacked ...", flush=True)
    device_file = directory.absolute() / f"{peer.device_name}.toml"
    try:
        with peer:
            device_file.write_text(peer.device_file())
            _explain(peer, device_file)
            return _run(command) if command else _wait()
    finally:
        device_file.unlink(missing_ok=True)


def _end(number: int, _: object) -> None:
    """Once: what runs others often tells them twice, and stopping shall not be stopped."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _explain(peer: Peer, device_file: Path) -> None:
    print(f"{peer.device_name} is up: {device_file}\n")
    print(f"    uv run pytest suites/ --device-dir {device_file.parent} --device {device_file.stem}")
    print(f"    {peer.way_in()}\n", flush=True)


def _run(command: list[str]) -> int:
    """The command shares our terminal, and Ctrl-C with it: we outlive it to stop the peer."""
    signal.signal(signal.SIGINT, lambda *_: None)
    child = subprocess.Popen(command)
    try:
        code = child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    return code if code >= 0 else 128 - code


def _wait() -> int:
    print("Ctrl-C stops it.", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nstopped")
    return 0
